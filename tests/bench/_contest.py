"""One contestant's processes: started, told to send, counted until all has ended, and stopped."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from shared.local.supervisor import entering_child
from tests.bench._cpu import cpu_s, family

REPOSITORY = Path(__file__).resolve().parents[2]
_POLL_S = 0.005
_CALM_LOOK_S = 0.5
_CALM_LOOKS = 20
_SETTLED_S = 1.2
_STOP_S = 15


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """How its processes are started: arguments of Python, `{home}` standing for a folder of the round."""

    name: str
    workers: Sequence[Sequence[str]]
    producer: Sequence[str]
    keeper: Sequence[str] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """Tasks a second from the first submit to the last end, and CPU ms a task by part."""

    rate: float
    cpu_ms: dict[str, float]
    machine_ms: float

    @property
    def all_ms(self) -> float:
        return sum(self.cpu_ms.values())


class Running:
    """`with Running(contestant, home) as running:`; whatever it started has ended in the end."""

    def __init__(self, contestant: Contestant, home: Path, environ: Mapping[str, str]) -> None:
        self._contestant = contestant
        self._home = home
        self._environ = {**os.environ, **environ, **contestant.environ}
        self._log = (home / "log").open("ab")
        self._parts: dict[str, list[subprocess.Popen[str]]] = {}

    def __enter__(self) -> Self:
        side = self._contestant
        try:
            self._parts["workers"] = [self._start(argv, number) for number, argv in enumerate(side.workers)]
            if side.keeper is not None:
                self._parts["keeper"] = [self._start(side.keeper)]
            self._parts["producer"] = [self._start(side.producer)]
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self, argv: Sequence[str], number: int = 0) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *(part.format(home=self._home) for part in argv)],
            cwd=REPOSITORY,
            env={**self._environ, "SUTAZAI_WORKER_SLOT": f"bench/{number}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            bufsize=1,
            start_new_session=True,
            preexec_fn=entering_child(None, None, signal.SIGTERM),
        )

    def _stop(self) -> None:
        processes = [process for part in self._parts.values() for process in part]
        for process in processes:
            process.terminate()
        until = time.monotonic() + _STOP_S
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(until - time.monotonic(), 0))
        for process in processes:
            # What a master leaves behind is in its session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._log.close()

    @property
    def parts(self) -> dict[str, set[int]]:
        return {name: set().union(*(family(process.pid) for process in part)) for name, part in self._parts.items()}

    async def send(self, count: int, ended: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
        """Returns once `count` more have ended. Raises RuntimeError, with what was logged, when they do not."""
        [producer] = self._parts["producer"]
        assert producer.stdin is not None and producer.stdout is not None
        try:
            async with asyncio.timeout(within_s):
                producer.stdin.write(f"{count}\n")
                if await _line(producer.stdout) != "sent\n":
                    raise RuntimeError(f"{self._contestant.name}: the producer has ended")
                while not await ended():
                    await asyncio.sleep(_POLL_S)
        except (TimeoutError, RuntimeError, BrokenPipeError) as exc:
            logged = (self._home / "log").read_text()[-3000:]
            raise RuntimeError(f"{self._contestant.name} did not end {count} tasks:\n{logged}") from exc

    async def calm(self) -> None:
        """Waits until nothing is being started any more: what a process does once is no task's price."""
        for _ in range(_CALM_LOOKS):
            before = self._cpu_s()
            await asyncio.sleep(_CALM_LOOK_S)
            if self._cpu_s() - before < _CALM_LOOK_S / 20:
                return

    def _cpu_s(self) -> float:
        return sum(cpu_s(pids) for pids in self.parts.values())


async def _line(pipe: IO[str]) -> str:
    """Without a thread, which a cancelled wait would leave behind."""
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.readline()


class Meter:
    """CPU by part between its making and `round`; what ends in between counts with whoever waited for it."""

    def __init__(self, parts: Callable[[], Mapping[str, set[int]]]) -> None:
        self._parts = parts
        self._before = {name: cpu_s(pids) for name, pids in parts().items()}
        self._machine_s = _busy_s()
        self._began = time.perf_counter()

    async def round(self, tasks: int) -> Round:
        taken_s = time.perf_counter() - self._began
        # What is left to do behind the last end is part of the price: seals, numbers, acknowledgements.
        await asyncio.sleep(_SETTLED_S)
        machine_s = _busy_s() - self._machine_s
        after = {name: cpu_s(pids) for name, pids in self._parts().items()}
        cpu_ms = {name: (after[name] - before) * 1000 / tasks for name, before in self._before.items()}
        return Round(tasks / taken_s, cpu_ms, machine_s * 1000 / tasks)


def _busy_s() -> float:
    """Of the whole machine: user, nice, system and interrupts."""
    numbers = [int(part) for part in Path("/proc/stat").read_text().partition("\n")[0].split()[1:]]
    return sum(numbers[at] for at in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")
