"""Ends a process at a system call of our choice, from outside of it."""

import asyncio
import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.system.platform import REPOSITORY

# What leaves or enters the process, and the waits between: everything else nobody but itself can see.
CALLS = "%network,read,write,close,epoll_wait,fsync,fdatasync,rename"
_ENTERED = re.compile(r"^(\d+)? *(\w+)\(", re.MULTILINE)
_WITHIN_S = 60.0


def strace() -> str | None:
    return shutil.which("strace")


class Point(NamedTuple):
    """The so-manieth time that the process enters a system call of that name; strace counts each name by itself."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}:{self.number}"


@dataclass(frozen=True)
class Ended:
    """`answer`: what the act told before its process ended, if it came to that; `struck`: whether SIGKILL ended it."""

    answer: dict[str, Any] | None
    points: tuple[Point, ...] = ()
    struck: bool = False


class Victims:
    """Processes that are forked ready to act."""

    def __init__(self, address: Path) -> None:
        self._address = address

    async def counted(self, told: Mapping[str, Any], log: Path) -> Ended:
        """Which system calls the act makes when nothing happens to it."""
        return Ended(await self._played(told, "-o", str(log)), points_of(log.read_text()))

    async def killed(self, told: Mapping[str, Any], at: Point, log: Path) -> Ended:
        """Ended as it enters that system call, before the kernel does anything about it, if it comes to it again."""
        inject = f"inject={at.call}:signal=SIGKILL:when={at.number}"
        answer = await self._played(told, "-o", str(log), "-e", inject)
        return Ended(answer, struck=was_struck(log.read_text()))

    async def _played(self, told: Mapping[str, Any], *options: str) -> dict[str, Any] | None:
        async with asyncio.timeout(_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(self._address))
            try:
                writer.write(json.dumps(told).encode() + b"\n")
                prepared = await reader.readline()
                if not prepared:
                    raise RuntimeError(f"{told['act']}: the process ended before it was to act")
                answer = b""
                async with _watching(json.loads(prepared)["pid"], *options):
                    writer.write(b"go\n")
                    with suppress(ConnectionResetError):
                        answer = await reader.readline()
                        await reader.read()
                return json.loads(answer) if answer else None
            finally:
                writer.close()


def points_of(log: str) -> tuple[Point, ...]:
    """In the order in which they were come to; of several threads the one that came furthest counts."""
    passed: Counter[tuple[str, str]] = Counter()
    found: dict[Point, None] = {}
    for thread, call in _ENTERED.findall(log):
        passed[thread, call] += 1
        found[Point(call, passed[thread, call])] = None
    return tuple(found)


def was_struck(log: str) -> bool:
    return "+++ killed by SIGKILL +++" in log


@asynccontextmanager
async def _watching(pid: int, *options: str) -> AsyncIterator[None]:
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-p", str(pid), "-e", f"trace={CALLS}", *options, stderr=asyncio.subprocess.PIPE
    )
    assert tracer.stderr is not None
    try:
        line = await tracer.stderr.readline()
        if b"attached" not in line:
            raise RuntimeError(f"strace could not attach: {line.decode().strip()}")
        yield
        await tracer.stderr.read()
    finally:
        if tracer.returncode is None:
            with suppress(ProcessLookupError):
                tracer.kill()
        await tracer.wait()


@asynccontextmanager
async def victims(folder: Path) -> AsyncIterator[Victims]:
    address = folder / "victims.sock"
    with (folder / "victims.log").open("ab") as log:
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos._victims", str(address), cwd=REPOSITORY, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(_WITHIN_S):
            while not address.exists():
                if server.returncode is not None:
                    raise RuntimeError((folder / "victims.log").read_text()[-2000:])
                await asyncio.sleep(0.05)
        # It is bound a moment before it listens.
        await asyncio.sleep(0.1)
        yield Victims(address)
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        await server.wait()
