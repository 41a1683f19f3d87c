"""Servers that tests start for themselves: each with its own folder and port, and never there longer than the tests."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


def mortal(command: Sequence[str | Path]) -> list[str]:
    """The command of a process that the kernel ends with the thread that starts it, whatever that is ended by."""
    return ["setpriv", "--pdeathsig", "KILL", *map(str, command)]


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in held]
    for server in held:
        server.close()
    return ports


class Engine(ABC):
    """`with` starts it, and kills it in the end. Raises RuntimeError, with its log, where it does not start."""

    name: str
    # What a client says first, how long the server's answer is, and with what it begins.
    greeting: bytes
    answer: tuple[int, bytes]
    start_within_s: float

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix=f"sutazai-{self.name.lower()}-"))
        [self.port] = free_ports(1)
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
