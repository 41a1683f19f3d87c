"""Servers under measurement, each a process group of its own, and the client that drives them."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Self, cast

from tests.bench._cpu import family

REPOSITORY = Path(__file__).resolve().parents[2]
_START_S = 30


@dataclass(frozen=True)
class Host:
    """A way to serve: `{port}` in the command is filled in, `request` goes over the wire as it is."""

    name: str
    command: Sequence[str]
    request: bytes
    status: int = 200
    environ: Mapping[str, str] | None = None
    start_s: float = _START_S


class Running:
    """`with Running(host) as running:`; only what it started is killed in the end."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process that writes it

    def __enter__(self) -> Self:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        environ = {**os.environ, **(self.host.environ or {})}
        # What an image has: compiled modules.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self.began = time.perf_counter()
        self._process = subprocess.Popen(
            [part.format(port=self.port) for part in self.host.command],
            cwd=REPOSITORY,
            env=environ,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()

    def cpu_s(self) -> float:
        """Of all its processes that live, to the nanosecond; /proc counts in hundredths."""
        # The clock of another process: clock_getcpuclockid(3).
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in family(self._process.pid))

    def first_answer(self) -> tuple[float, float]:
        """CPU and wall seconds from exec to the first answer. Raises RuntimeError with the log when it is wrong."""
        while time.perf_counter() - self.began < self.host.start_s and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as connection:
                    connection.settimeout(_START_S)
                    connection.sendall(self.host.request)
                    answer = connection.recv(65536)
                    wall_s = time.perf_counter() - self.began
                    cpu_s = self.cpu_s()
                if int(answer[9:12]) == self.host.status:
                    return cpu_s, wall_s
                raise RuntimeError(f"{self.host.name} answered {answer!r}:\n{self._tail()}")
            except ConnectionError:
                time.sleep(0.002)
        raise RuntimeError(f"{self.host.name} did not start:\n{self._tail()}")

    def _tail(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    async def requests_cpu_s(self, count: int, *, connections: int = 8, requests: Sequence[bytes] = ()) -> float:
        """CPU seconds per request, over keep-alive connections with one request at a time on each.

        `requests` are those of the connections in turn, else all send the host's.
        """
        loop = asyncio.get_running_loop()
        sent = requests or (self.host.request,)
        hosts = [replace(self.host, request=sent[number % len(sent)]) for number in range(connections)]
        clients = [_Client(host, count // connections) for host in hosts]
        before = self.cpu_s()
        for client in clients:
            await loop.create_connection(partial(_itself, client), "127.0.0.1", self.port)
        async with asyncio.timeout(60):
            await asyncio.gather(*(client.done for client in clients))
        return (self.cpu_s() - before) / (count // connections * connections)


def _itself(client: "_Client") -> "_Client":
    return client


class _Client(asyncio.Protocol):
    def __init__(self, host: Host, count: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = host.request
        self._start = b"HTTP/1.1 %d " % host.status
        self._left = count
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports share no base with asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not ended or len(body) < int(length or 0):
            return
        if not head.startswith(self._start):
            self.done.set_exception(RuntimeError(f"answered {self._received!r}"))
            return
        self._received = b""
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed before the answer"))


def python(*arguments: str) -> Sequence[str]:
    return (sys.executable, *arguments)
