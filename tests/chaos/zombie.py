"""`make chaos C=zombie`: a worker is stopped with tasks in hand until others have done them, then goes on."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Sequence

from tests.chaos._cluster import Cluster, Shape, cluster
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.chaos._work import ALL_OVER_S, Accepted, judged, ledger, submit, until_ended
from tests.ledger_origin import Origin, origin
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import Client

# Longer than the broker, too, waits for a sign of life.
_STOPPED_S = 30.0
# Three times what a worker may be silent for.
_STOPPED_AT_LEAST_S = 9.0
# Of a seed's time: to start, to be taken from, and to go on.
_BESIDE_S = 15.0
_TASK_MS = 1000


async def _stop_one(here: Cluster, seed: int) -> int:
    """One that holds tasks just now; by its number."""
    order = random.Random(seed).sample([0, 1], 2)
    async with asyncio.timeout(30), here.record() as connection:
        while True:
            for number in order:
                held = await connection.fetchval(
                    "SELECT count(*) FROM agent_executions e JOIN workers w ON w.id = e.worker_id"
                    " WHERE w.slot = $1 AND e.status = 'running'",
                    f"chaos/{number}",
                )
                if held:
                    here.signal("worker", signal.SIGSTOP, which=number)
                    return number
            await asyncio.sleep(0.02)


async def zombie(
    here: Cluster, client: Client, outside: Origin, *, seed: int, tasks: int, stopped_s: float
) -> dict[str, Target]:
    found, connections = Accepted(), await _connections(here)
    given = [ledger(duration_ms=_TASK_MS, url=outside.url) for _ in range(tasks)]
    await submit(client, given, f"zombie-{seed}", found)
    stopped = await _stop_one(here, seed)
    began = time.monotonic()
    over_s = await until_ended(here, found.ids, since=began, within_s=60)
    await asyncio.sleep(max(began + stopped_s - time.monotonic(), 0))
    taken, gone = await _taken(here, found.ids), connections - await _connections(here)
    here.signal("worker", signal.SIGCONT, which=stopped)
    # It beats once a second: by then it has learnt that its tasks are others', and has tried to write their ends.
    await asyncio.sleep(4)
    again = Accepted()
    await submit(client, [ledger(duration_ms=10, url=outside.url) for _ in range(20)], f"after-{seed}", again)
    after_s = await until_ended(here, again.ids, since=time.monotonic(), within_s=60)
    print(
        f"seed {seed}: worker {stopped} stopped for {stopped_s:.0f} s, {taken} of its tasks taken over,"
        f" all ended after {over_s:.1f} s; {gone} connection given up by the broker"
    )
    heartbeats = {"connections that the broker gave up": at_least(gone, 1)} if stopped_s >= _STOPPED_S else {}
    return {
        **heartbeats,
        "tasks taken from the zombie": at_least(taken, 1),
        "seconds until all had ended without it": at_most(over_s, ALL_OVER_S),
        "seconds for more work after it woke": at_most(after_s, 15),
        "zombies that were ended": exactly(2 - len(here.pids("worker")), 0),
    }


async def _connections(here: Cluster) -> int:
    """To the broker, by itself."""
    assert here.broker is not None
    return int(await asyncio.to_thread(here.broker.evaluate, "length(rabbit_networking:connections())."))


async def _taken(here: Cluster, ids: list[str]) -> int:
    async with here.record() as connection:
        return int(
            await connection.fetchval("SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND losses = 1", ids)
        )


async def run(seeds: Sequence[int], *, tasks: int, seconds: float) -> Worst:
    stopped_s = min(_STOPPED_S, max(seconds / len(seeds) - _BESIDE_S, _STOPPED_AT_LEAST_S))
    worst: Worst = {}
    async with origin() as outside:
        environ = {"SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{outside.port}"}
        async with cluster(Shape(functions=False, environ=environ)) as here, Client(here.apis[0]) as client:
            for seed in seeds:
                keep_worst(worst, await zombie(here, client, outside, seed=seed, tasks=tasks, stopped_s=stopped_s))
            async with here.record() as connection:
                ids = [str(row["id"]) for row in await connection.fetch("SELECT id FROM agent_executions")]
            return worst | await judged(here, ids, outside)


def main() -> int:
    given = asked(__doc__, tasks=24, seeds=2, minutes=4)
    return report("chaos-zombie", asyncio.run(run(given.seeds, tasks=given.tasks, seconds=given.seconds)))


if __name__ == "__main__":
    sys.exit(main())
