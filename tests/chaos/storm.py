"""`make chaos C=storm`: every role is killed at random, RabbitMQ between them; what was accepted ends, once."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Sequence

from tests.chaos._cluster import AWAY, Cluster, Shape, cluster
from tests.chaos._seeds import Clock, Fault, Worst, asked, keep_worst, schedule
from tests.chaos._work import Accepted, judged, ledger, submit, until_ended
from tests.chaos.ledger_origin import Origin, origin
from tests.report import Target, at_least, at_most, report
from tests.system.platform import Client

ALL_OVER_S = 15.0
# How often each is hit, of 20.
WEIGHTS = {
    "worker": 5,
    "agent": 2,
    "keeper": 3,
    "connector": 2,
    "gateway": 3,
    "postgres": 2,
    "redis": 1,
    "broker": 1,
    "everything": 1,
}
_EVERY_S = (0.4, 2.0)
_BATCH = 20
_CALLERS = 16
_MOST_WAITING = 600
_LOOK_S = 0.25
# Of a seed, however long it took to start.
_LEAST_S = 12.0
_TASK_MS = 200
# Of a seed's time: the rest is for what was accepted to end.
_STORMY = 0.75


class Storm:
    """One seed's faults, on a cluster that other seeds may have had before."""

    def __init__(self, here: Cluster, seed: int, seconds: float, weights: dict[str, int]) -> None:
        self.faults = schedule(seed, seconds, weights, every_s=_EVERY_S)
        self.kills: dict[str, int] = {}
        self.last = time.monotonic()
        self._here = here
        self._mending: asyncio.Task[None] | None = None

    async def rage(self) -> None:
        began = time.monotonic()
        try:
            for fault in self.faults:
                await asyncio.sleep(max(began + fault.at_s - time.monotonic(), 0.0))
                await self._strike(fault)
        finally:
            if self._mending is not None:
                # A broker that nobody brings back would be another test's.
                await self._mending

    async def _strike(self, fault: Fault) -> None:
        roles = [role for role in self._here.roles if role != "broker"]
        struck = roles if fault.role == "everything" else [fault.role]
        for role in struck:
            if role == "broker":
                if self._mending is not None and not self._mending.done():
                    continue
                self._mending = asyncio.create_task(self._without_broker(fault.away_s))
            elif self._here.kill(role, which=fault.which) is None:
                continue
            self.kills[role] = self.kills.get(role, 0) + 1
            self.last = time.monotonic()

    async def _without_broker(self, away_s: float) -> None:
        """This fault lasts until it is started again, which is an operator's act; the other roles' is ours."""
        await self._here.kill_broker(away_s=away_s)
        self.last = time.monotonic()


async def _submit_all(
    here: Cluster, client: Client, outside: Origin, *, seed: int, tasks: int, seconds: float
) -> Accepted:
    """Paced over the time; no further while many wait, for it is no throughput that is looked at here."""
    dice, found, gate = random.Random(seed), Accepted(), asyncio.Semaphore(_CALLERS)
    until, depth = time.monotonic() + seconds, _Depth(here)
    batches = [min(_BATCH, tasks - start) for start in range(0, tasks, _BATCH)]
    given = [[ledger(duration_ms=dice.randrange(_TASK_MS), url=outside.url) for _ in range(size)] for size in batches]

    async def one(number: int) -> None:
        await asyncio.sleep(number * seconds / len(batches))
        async with gate:
            while depth.waiting > _MOST_WAITING and time.monotonic() < until:
                await asyncio.sleep(_LOOK_S)
            if time.monotonic() < until or number == 0:
                await submit(client, given[number], f"storm-{seed}-{number}", found)

    looking = asyncio.create_task(depth.look())
    try:
        await asyncio.gather(*(one(number) for number in range(len(batches))))
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    return found


class _Depth:
    """How many wait, looked up now and then for all callers."""

    def __init__(self, here: Cluster) -> None:
        self._here = here
        self.waiting = 0

    async def look(self) -> None:
        while True:
            try:
                async with self._here.record() as connection:
                    while True:
                        open_rows = "SELECT count(*) FROM agent_executions WHERE finished_at IS NULL"
                        self.waiting = await connection.fetchval(open_rows, timeout=5)
                        await asyncio.sleep(_LOOK_S)
            except AWAY:
                await asyncio.sleep(_LOOK_S)
            finally:
                # Nobody is held back by what was true before the record went away.
                self.waiting = 0


async def storm(
    here: Cluster, client: Client, outside: Origin, *, seed: int, tasks: int, seconds: float, least: int = 1
) -> tuple[list[str], dict[str, Target]]:
    """The ids that were accepted, and what is told of this seed alone."""
    stormy_s = seconds * _STORMY
    raging = Storm(here, seed, stormy_s, WEIGHTS)
    async with asyncio.TaskGroup() as group:
        group.create_task(raging.rage())
        submitting = group.create_task(_submit_all(here, client, outside, seed=seed, tasks=tasks, seconds=stormy_s))
    found = submitting.result()
    over_s = await until_ended(here, found.ids, since=raging.last)
    kills = sum(raging.kills.values())
    print(
        f"seed {seed}: {len(found.ids)} accepted in {stormy_s:.0f} s under {kills} kills {raging.kills},"
        f" {found.refused} refusals, {found.unanswered} lost answers; all over {over_s:.1f} s after the last",
        flush=True,
    )
    return found.ids, {
        "tasks accepted": at_least(len(found.ids), least),
        "kills": at_least(kills, 1),
        "seconds from last fault to all ended": at_most(over_s, ALL_OVER_S),
    }


async def run(seeds: Sequence[int], *, tasks: int, seconds: float, least: int = 1) -> Worst:
    """All seeds on one cluster, one after the other; what they leave is judged in the end."""
    worst: Worst = {}
    clock_from = time.monotonic()
    async with origin() as outside:
        environ = {"SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{outside.port}"}
        async with cluster(Shape(environ=environ)) as here, Client(here.apis[0]) as client:
            clock = Clock(seconds - (time.monotonic() - clock_from), len(seeds))
            ids: list[str] = []
            for seed in seeds:
                accepted, told = await storm(
                    here, client, outside, seed=seed, tasks=tasks, seconds=max(clock.share(), _LEAST_S), least=least
                )
                ids += accepted
                keep_worst(worst, told)
            worst |= await judged(here, ids, outside)
            if any(not target.holds for target in worst.values()):
                await _show(here)
    return worst


async def _show(here: Cluster) -> None:
    """For whoever has to find out why: the courses of the last tasks, and everybody's logs."""
    async with here.record() as connection:
        rows = await connection.fetch(
            "SELECT e.id::text, e.status, e.attempt, e.losses, (SELECT array_agg(v.type || to_char(v.at, ' HH24:MI:SS')"
            " ORDER BY v.position) FROM events v WHERE v.subject = e.id::text) AS course"
            " FROM agent_executions e ORDER BY coalesce(e.finished_at, 'infinity') DESC LIMIT 5"
        )
    for row in rows:
        print("among the last:", dict(row))
    here.keep_logs()


def main() -> int:
    given = asked(__doc__, tasks=2000, seeds=3, minutes=4)
    least = 1 if given.bounded else given.tasks
    found = asyncio.run(run(given.seeds, tasks=given.tasks, seconds=given.seconds, least=least))
    if not all(target.holds for target in found.values()):
        again = f"--tasks {given.tasks} --seeds 1 --minutes {given.minutes / len(given.seeds):g} --first SEED"
        print(f"one seed again: {os.path.relpath(sys.executable)} -m tests.chaos.storm {again}")
    return report("chaos-storm", found)


if __name__ == "__main__":
    sys.exit(main())
