"""`make chaos C=local`: every process is killed at random while tasks come in; what was accepted must end, once."""

import asyncio
import random
import sys
import tempfile
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos._cluster import recorded
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.chaos._work import (
    ALL_OVER_S,
    RUNS_WHILE_AWAY,
    Accepted,
    judged,
    ledger,
    submit,
    until_ended,
)
from tests.ledger_origin import Origin, origin
from tests.report import Target, at_least, at_most, report
from tests.system.platform import Client, Platform

_TASK_MS = 300
# A third of the kills take whoever holds a task. Where the machine has nothing else to do, no task meets five of them;
# where it is so busy that the next kill comes before anything has ended, up to 3.2 % did.
_GIVEN_UP = 0.05


@dataclass(frozen=True)
class _Place:
    platform: Platform

    def record(self) -> AbstractAsyncContextManager[Any]:
        return recorded(lambda: self.platform.postgres_url)


async def _kill(platform: Platform, seed: int, submitted: asyncio.Event, seconds: float) -> tuple[list[str], float]:
    """Returns who was killed and when, and when it was over."""
    dice = random.Random(seed)
    began = time.monotonic()
    kills: list[str] = []
    while not submitted.is_set() or time.monotonic() - began < seconds:
        await asyncio.sleep(dice.uniform(0.5, 2.0))
        role = dice.choice(["worker", "worker", "gateway", "postgres", "redis", "everything"])
        pids = platform.pids().get(role, [])
        if pids or role == "everything":
            kills.append(f"{time.strftime('%H:%M:%S')} {role}")
        if role == "everything":
            platform.kill_everything()
            await asyncio.to_thread(platform.start)
        elif pids:
            platform.kill(dice.choice(pids))
    return kills, time.monotonic()


async def storm(tasks: int, seed: int, seconds: float) -> dict[str, Target]:
    """One run; every kill is by -9."""
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder:
        Path(folder).chmod(0o755)
        async with origin() as here:
            allowed = {"SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{here.port}"}
            with Platform(Path(folder) / "home", **allowed) as platform:
                async with Client(platform.api) as client:
                    return await _storm(platform, client, here, tasks, seed, seconds)


async def _storm(
    platform: Platform, client: Client, here: Origin, tasks: int, seed: int, seconds: float
) -> dict[str, Target]:
    submitted, found, dice = asyncio.Event(), Accepted(), random.Random(seed)
    killer = asyncio.create_task(_kill(platform, seed, submitted, seconds))
    gate = asyncio.Semaphore(32)
    given = [ledger(duration_ms=dice.randrange(_TASK_MS), url=here.url) for _ in range(tasks)]

    async def one(number: int) -> None:
        await asyncio.sleep(number * seconds / tasks)
        async with gate:
            await submit(client, [given[number]], f"n{number}", found, api=lambda: platform.api)

    await asyncio.gather(*(one(number) for number in range(tasks)))
    submitted.set()
    kills, last = await killer
    place = _Place(platform)
    over_s = await until_ended(place, found.ids, since=last, within_s=60)
    print(f"seed {seed}: {len(found.ids)} accepted, {len(kills)} kills, all over {over_s:.1f} s after the last")
    print("killed:", ", ".join(kills))
    return {
        "kills": at_least(len(kills), 1),
        "seconds from last kill to all ended": at_most(over_s, ALL_OVER_S),
        **await judged(place, found.ids, here, given_up=_GIVEN_UP, runs=RUNS_WHILE_AWAY),
    }


def main() -> int:
    given = asked(__doc__, tasks=2000, seeds=1, minutes=1.0)
    worst: Worst = {}
    for seed in given.seeds:
        keep_worst(worst, asyncio.run(storm(given.tasks, seed, given.seconds / len(given.seeds))))
    return report("chaos-local", worst)


if __name__ == "__main__":
    sys.exit(main())
