"""`make chaos C=sweep`: kill -9 at each system call of accept, wake, claim, finish, refresh rotation and migration.

N: crash points over all acts at most. No hook in the product: the kernel ends the process as it enters the call.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey
from shared.stores.postgres.migrate import migrate
from tests.chaos._lanes import LANES, Lane
from tests.chaos._seeds import asked
from tests.chaos._strace import Point, Victims, strace, victims
from tests.rabbitmq import RabbitMQ
from tests.report import Target, at_least, exactly, report, unsupported

ACTS = ("accept", "wake", "claim", "finish", "refresh", "migration")
_AT_LEAST = 300
# Of the points that are tried: one run makes a call less than the one in which they were counted.
_COME_TO = 0.9


@dataclass
class Swept:
    """`points`: those at which SIGKILL ended the process; `missed`: those that it did not come to again."""

    points: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


def chosen(points: Sequence[Point], most: int, seed: int) -> Sequence[Point]:
    """All of them, or as many as may be, evenly from first to last; the seed shifts where."""
    if len(points) <= most:
        return points
    step = len(points) / most
    offset = random.Random(seed).uniform(0, step)
    return [points[min(int(offset + n * step), len(points) - 1)] for n in range(most)]


@dataclass(frozen=True)
class Ground:
    """The servers, and an address from which new databases are made."""

    settings: Settings
    victims: Victims
    folder: Path

    async def lane(self, act: str, number: int) -> Lane:
        name = f"lane_{act}_{number}"
        template = "template0" if act == "migration" else "template"
        await _execute(self.settings.postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        return LANES[act](self.settings, database(self.settings.postgres_url, name))


def database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def ground() -> AsyncIterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="sutazai-sweep-") as name, RabbitMQ() as broker:
        folder = Path(name)
        folder.chmod(0o711)
        async with (
            running_postgres(folder / "postgres", fsync=False, say=lambda _: None) as postgres,
            running_valkey(folder / "valkey", fsync=False, say=lambda _: None) as redis,
            victims(folder) as ready,
        ):
            await _execute(postgres, "CREATE DATABASE template")
            await migrate(database(postgres, "template"))
            environ = {
                "SUTAZAI_HOME": name,
                "SUTAZAI_POSTGRES_URL": postgres,
                "SUTAZAI_REDIS_URL": redis,
                "SUTAZAI_AMQP_URL": broker.url(),
            }
            yield Ground(Settings.read(environ), ready, folder)


async def sweep_act(here: Ground, act: str, *, most: int, seed: int, until: float, found: Swept) -> None:
    """Each point on a task, or a session, or a database of its own; what broke a promise is told with its point."""
    lane, log = await here.lane(act, seed), here.folder / f"{act}.strace"
    async with lane:
        told = await lane.prepare(0)
        calm = await here.victims.counted(told, log)
        if calm.answer is None:
            raise RuntimeError(f"{act} fails by itself: {(here.folder / 'victims.log').read_text()[-3000:]}")
        await lane.judge(0, told, calm.answer)
        found.calls[act] = len(calm.points)
        for number, at in enumerate(chosen(calm.points, most, seed), 1):
            if time.monotonic() > until:
                break
            told = await lane.prepare(number)
            ended = await here.victims.killed(told, at, log)
            (found.points if ended.struck else found.missed)[act] += 1
            found.answered[act] += ended.struck and ended.answer is not None
            try:
                async with asyncio.timeout(60):
                    await lane.judge(number, told, ended.answer)
            except (AssertionError, TimeoutError) as exc:
                found.violations.append(f"{act} killed at {at} (seed {seed}): {exc!r}")


async def sweep(acts: Sequence[str], *, most: int, seeds: Sequence[int], seconds: float) -> Swept:
    """`most`: points of all acts together and all seeds."""
    found = Swept()
    each = max(most // (len(acts) * len(seeds)), 1)
    async with ground() as here:
        until = time.monotonic() + seconds
        for seed in seeds:
            # Side by side, for most of a point is waiting for processes to begin and to end.
            async with asyncio.TaskGroup() as group:
                for act in acts:
                    group.create_task(sweep_act(here, act, most=each, seed=seed, until=until, found=found))
    return found


def targets_of(found: Swept, least: int) -> dict[str, Target]:
    for act, calls in found.calls.items():
        tried = f"{found.points[act]:>4} killed, of which {found.answered[act]} after their answer"
        tried += f"; {found.missed[act]} not come to again"
        print(f"{act:<10} {calls:>5} system calls, {tried}")
    print(*found.violations, sep="\n")
    return {
        "crash points": at_least(sum(found.points.values()), least),
        "acts swept": exactly(len(found.points), len(found.calls)),
        "violations": exactly(len(found.violations), 0),
    }


def main() -> int:
    given = asked(__doc__, tasks=480, seeds=1, minutes=4)
    if strace() is None:
        return unsupported("chaos-sweep", "strace is not installed")
    found = asyncio.run(sweep(ACTS, most=given.tasks, seeds=given.seeds, seconds=given.seconds - 30))
    return report("chaos-sweep", targets_of(found, min(_AT_LEAST, int(given.tasks * _COME_TO))))


if __name__ == "__main__":
    sys.exit(main())
