"""Servers that tests start for themselves: each with its own folder and port, and never there longer than the tests."""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self


def mortal(command: Sequence[str | Path]) -> list[str]:
    """The command of a process that the kernel ends with the thread that starts it, whatever that is ended by."""
    return ["setpriv", "--pdeathsig", "KILL", *map(str, command)]


def _ports() -> Iterator[int]:
    """Below those that the kernel gives to clients and the platform picks; each worker of pytest-xdist has its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    own = range(12_000 + worker, 20_000, 8)
    # Another run on this machine begins elsewhere.
    begin = random.randrange(len(own))
    return cycle([*own[begin:], *own[:begin]])


_next_ports = _ports()


def free_port() -> int:
    """For a process that binds it later: it is given to nobody else meanwhile."""
    while True:
        port = next(_next_ports)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Engine(ABC):
    """`with` starts it, and kills it in the end. Raises RuntimeError, with its log, where it does not start."""

    name: str
    # What a client says first, how long the server's answer is, and with what it begins.
    greeting: bytes
    answer: tuple[int, bytes]
    start_within_s: float

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"sutazai-{self.name.lower()}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def command(self) -> Sequence[str]: ...

    @property
    def environ(self) -> Mapping[str, str]:
        return os.environ

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns once it takes connections."""
        with (self.home / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                mortal(self.command), env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + self.start_within_s
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{self.name} did not start:\n{(self.home / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """In good order, as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """By kill -9."""
        self._end(signal.SIGKILL)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        size, begins = self.answer
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.settimeout(5)
                connection.sendall(self.greeting)
                said = connection.recv(size)
        except OSError:
            return False
        return len(said) == size and said.startswith(begins)
