"""`make chaos C=storm`: every role is killed at random, RabbitMQ between them; what was accepted ends, once.

The load does not wait for anybody: tasks come at one pace until the last kill, and each is offered until it is
accepted. Late is counted from that kill on, whatever it hit and however long that takes to start again; what is
accepted after it, because it was refused before, from then on.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

from tests.chaos._cluster import Cluster, Shape, cluster
from tests.chaos._seeds import Clock, Fault, Worst, asked, keep_worst, schedule
from tests.chaos._work import (
    ALL_OVER_S,
    GIVEN_UP,
    RUNS_WHILE_AWAY,
    Accepted,
    judged,
    ledger,
    submit,
    until_ended,
)
from tests.ledger_origin import Origin, origin
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import Client

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
# Of a seed, however long it took to start.
_LEAST_S = 12.0
# Of a seed too: from here on no role may have been left alone.
_ALL_ROLES_S = 60.0
_TASK_MS = 200
# Of a seed's time: the rest is for what was accepted to end.
_STORMY = 0.75
_SHOWN = 5


class Storm:
    """One seed's faults, on a cluster that other seeds may have had before."""

    def __init__(self, here: Cluster, seed: int, seconds: float, weights: dict[str, int]) -> None:
        self.faults = schedule(seed, seconds, weights, every_s=_EVERY_S)
        self.kills: Counter[str] = Counter()
        # By the clock of this machine, which is the record's too: when, and of whom.
        self.struck: list[tuple[float, str]] = []
        self._here = here
        self._mending: asyncio.Task[None] | None = None

    @property
    def last(self) -> float:
        return self.struck[-1][0]

    async def rage(self) -> None:
        began = time.monotonic()
        try:
            for fault in self.faults:
                await asyncio.sleep(max(began + fault.at_s - time.monotonic(), 0.0))
                self._strike(fault)
        finally:
            if self._mending is not None:
                # A broker that nobody brings back would be another test's.
                await self._mending

    def _strike(self, fault: Fault) -> None:
        if fault.role == "everything":
            self.kills[fault.role] += 1
        struck = self._here.roles if fault.role == "everything" else [fault.role]
        for role in struck:
            now = time.time()
            if role == "broker":
                if self._mending is not None and not self._mending.done():
                    continue
                # Who starts it again is an operator, who needs a while; the other roles' supervisor is ours.
                self._mending = asyncio.create_task(self._here.kill_broker(away_s=fault.away_s))
            elif self._here.kill(role, which=fault.which) is None:
                continue
            self.kills[role] += 1
            self.struck.append((now, role))


async def _submit_all(client: Client, outside: Origin, *, seed: int, tasks: int, seconds: float) -> Accepted:
    dice, found, gate = random.Random(seed), Accepted(), asyncio.Semaphore(_CALLERS)
    batches = [min(_BATCH, tasks - start) for start in range(0, tasks, _BATCH)]
    given = [[ledger(duration_ms=dice.randrange(_TASK_MS), url=outside.url) for _ in range(size)] for size in batches]

    async def one(number: int) -> None:
        await asyncio.sleep(number * seconds / len(batches))
        async with gate:
            await submit(client, given[number], f"storm-{seed}-{number}", found)

    await asyncio.gather(*(one(number) for number in range(len(batches))))
    return found


async def storm(
    here: Cluster, client: Client, outside: Origin, *, seed: int, tasks: int, seconds: float
) -> tuple[list[str], Counter[str], dict[str, Target]]:
    """The ids that were accepted, the kills by role, and what is told of this seed alone."""
    raging = Storm(here, seed, seconds * _STORMY, WEIGHTS)
    stormy_s = raging.faults[-1].at_s
    async with asyncio.TaskGroup() as group:
        group.create_task(raging.rage())
        submitting = group.create_task(_submit_all(client, outside, seed=seed, tasks=tasks, seconds=stormy_s))
    found = submitting.result()
    await until_ended(here, found.ids, since=time.monotonic())
    in_time, late = await _late(here, found.ids, raging.last)
    open_after = ", ".join(f"{sum(took > after for took in late)} after {after} s" for after in (0, 5, 10, 15))
    kills = len(raging.struck)
    print(
        f"seed {seed}: {len(found.ids)} accepted, {in_time} of them in {stormy_s:.0f} s under {kills} kills"
        f" {dict(raging.kills)}, {found.refused} refusals, {found.unanswered} lost answers; open: {open_after}",
        flush=True,
    )
    if late and late[-1] > ALL_OVER_S:
        await _show(here, raging)
    return (
        found.ids,
        raging.kills,
        {
            "tasks accepted": at_least(len(found.ids), tasks),
            "kills": at_least(kills, 1),
            "seconds from last kill to all ended": at_most(late[-1] if late else 0.0, ALL_OVER_S),
        },
    )


async def _late(here: Cluster, ids: Sequence[str], last: float) -> tuple[int, list[float]]:
    """How many were accepted by the last kill; how long each took that had not ended by then, the longest last."""
    async with here.record() as connection:
        by_then = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND created_at <= to_timestamp($2)"
        in_time = await connection.fetchval(by_then, ids, last)
        rows = await connection.fetch(
            "SELECT extract(epoch FROM coalesce(finished_at, now()) - greatest(created_at, to_timestamp($2)))::float8"
            " AS s FROM agent_executions WHERE id = ANY($1) AND coalesce(finished_at, now()) > to_timestamp($2)"
            " ORDER BY 1",
            ids,
            last,
        )
    return in_time, [row["s"] for row in rows]


async def run(seeds: Sequence[int], *, tasks: int, seconds: float) -> Worst:
    """All seeds on one cluster, one after the other; what they leave is judged in the end."""
    worst: Worst = {}
    clock_from = time.monotonic()
    async with origin() as outside:
        environ = {"SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{outside.port}"}
        async with cluster(Shape(environ=environ)) as here, Client(here.apis[0]) as client:
            clock = Clock(seconds - (time.monotonic() - clock_from), len(seeds))
            ids: list[str] = []
            kills: Counter[str] = Counter()
            least_s = float("inf")
            for seed in seeds:
                share_s = max(clock.share(), _LEAST_S)
                least_s = min(least_s, share_s)
                # All seeds may take longer than an access token lives.
                await here.answering("gateway")
                await client.login()
                accepted, struck, told = await storm(here, client, outside, seed=seed, tasks=tasks, seconds=share_s)
                ids += accepted
                kills += struck
                keep_worst(worst, told)
            if least_s >= _ALL_ROLES_S:
                worst["roles left alone"] = exactly(len(WEIGHTS.keys() - kills.keys()), 0)
            worst |= await judged(here, ids, outside, given_up=GIVEN_UP, runs=RUNS_WHILE_AWAY)
            if any(not target.holds for target in worst.values()):
                here.keep_logs()
    return worst


async def _show(here: Cluster, raging: Storm) -> None:
    """For whoever has to find out why: what the last tasks waited for, by seconds from the last kill."""
    kills = [f"{at - raging.last:.1f} {role}" for at, role in raging.struck if at > raging.last - 20]
    print("killed before:", ", ".join(kills))
    async with here.record() as connection:
        rows = await connection.fetch(
            "SELECT e.id::text, e.status, e.losses, (SELECT array_agg("
            "   round(extract(epoch FROM v.at) - $1::float8::numeric, 2) || ' ' || split_part(v.type, '.', 2)"
            "   || coalesce(' ' || (v.data ->> 'reason'), '') ORDER BY v.position)"
            " FROM events v WHERE v.subject = e.id::text) AS course"
            " FROM agent_executions e"
            " ORDER BY coalesce(e.finished_at, now()) - greatest(e.created_at, to_timestamp($1)) DESC LIMIT $2",
            raging.last,
            _SHOWN,
        )
    for row in rows:
        print(f"among the last: {row['id']} {row['status']}, {row['losses']} losses:", ", ".join(row["course"]))


def main() -> int:
    given = asked(__doc__, tasks=2000, seeds=3, minutes=4)
    found = asyncio.run(run(given.seeds, tasks=given.tasks, seconds=given.seconds))
    if not all(target.holds for target in found.values()):
        again = f"--tasks {given.tasks} --seeds 1 --minutes {given.minutes / len(given.seeds):g} --first SEED"
        print(f"one seed again: {os.path.relpath(sys.executable)} -m tests.chaos.storm {again}")
    return report("chaos-storm", found)


if __name__ == "__main__":
    sys.exit(main())
