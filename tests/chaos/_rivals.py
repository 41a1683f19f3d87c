"""A rival's processes on a RabbitMQ that is killed under it: workers that come again, and a producer."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.local.supervisor import Service, Supervisor
from tests.rabbitmq import RabbitMQ
from tests.system.platform import REPOSITORY

WORKERS = 2
_SEND_S = 20.0


@dataclass(frozen=True)
class Rival:
    name: str
    module: str
    # Of Python, `{n}` standing for the worker's number.
    worker: tuple[str, ...]


_CELERY = ("-m", "celery", "-A", "tests.chaos._rival_celery:app", "worker", "-n", "{n}@storm", "--loglevel", "WARNING")
RIVALS = (
    Rival("Celery", "tests.chaos._rival_celery", (*_CELERY, "--concurrency", "4")),
    Rival("Dramatiq", "tests.chaos._rival_dramatiq", ("-m", "dramatiq", "tests.chaos._rival_dramatiq", "-p", "1")),
    Rival(
        "taskiq", "tests.chaos._rival_taskiq", ("-m", "taskiq", "worker", "tests.chaos._rival_taskiq:broker", "-w", "1")
    ),
)


@dataclass
class Tally:
    """`calls`: how often each task was heard of outside."""

    accepted: set[str] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    kills: int = 0

    @property
    def lost(self) -> int:
        return len(self.accepted - self.calls.keys())

    @property
    def repeated(self) -> int:
        return sum(self.calls[task] > 1 for task in self.accepted & self.calls.keys())


class Running:
    def __init__(self, supervisor: Supervisor, producer: asyncio.subprocess.Process, effects: Path) -> None:
        self._supervisor = supervisor
        self._producer = producer
        self._effects = effects
        self._sending = asyncio.Lock()

    async def send(self, task: str, ms: int) -> bool:
        """Whether the library says that it was taken."""
        assert self._producer.stdin is not None and self._producer.stdout is not None
        async with self._sending:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SEND_S):
                    self._producer.stdin.write(f"{task} {ms}\n".encode())
                    while line := (await self._producer.stdout.readline()).decode().split():
                        # An answer that came too late belongs to an earlier one.
                        if line[:2] in (["ok", task], ["no", task]):
                            return line[0] == "ok"
        return False

    def kill_worker(self, which: int) -> bool:
        pids = self._supervisor.pids.get("worker", [])
        if pids:
            with suppress(ProcessLookupError):
                os.kill(pids[which % len(pids)], signal.SIGKILL)
        return bool(pids)

    def effects(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for task in self._effects.read_text().split():
            found[task] = found.get(task, 0) + 1
        return found


@asynccontextmanager
async def running(rival: Rival, broker: RabbitMQ, folder: Path) -> AsyncIterator[Running]:
    effects = folder / "effects"
    effects.touch()
    environ = {**os.environ, "RIVAL_AMQP_URL": broker.url(), "RIVAL_EFFECTS": str(effects)}
    services = [_worker(rival, number, environ) for number in range(WORKERS)]
    with (folder / "producer.log").open("ab") as log:
        producer = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            rival.module,
            env=environ,
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    try:
        async with Supervisor(folder, services, say=lambda _: None) as supervisor:
            yield Running(supervisor, producer, effects)
    finally:
        with suppress(ProcessLookupError):
            producer.kill()
        await producer.wait()


def _worker(rival: Rival, number: int, environ: dict[str, str]) -> Service:
    async def started() -> bool:
        return True

    argv: Sequence[str] = [part.format(n=number) for part in rival.worker]
    return Service(
        name=f"{rival.name}-{number}",
        role="worker",
        argv=(sys.executable, *argv),
        ready=started,
        env=environ,
        cwd=REPOSITORY,
    )
