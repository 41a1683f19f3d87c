"""`make chaos C=expiry`: tasks expire behind a long one; they are seen so within 5 s, and never run late."""

import asyncio
import sys

from tests.chaos._cluster import Shape, cluster
from tests.chaos._seeds import asked
from tests.chaos._work import Accepted, ledger, submit, until_ended
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import Client

_LONG_MS = 12_000
_TTLS_S = (1.0, 2.0, 4.0)
_VISIBLE_S = 5.0


async def expiry(tasks: int) -> dict[str, Target]:
    """One worker with one slot: what waits behind the long task can only expire."""
    shape = Shape(workers=1, functions=False, environ={"SUTAZAI_WORKER_TASKS": "1"})
    async with cluster(shape) as here, Client(here.apis[0]) as client:
        long, short = Accepted(), Accepted()
        await submit(client, [ledger(duration_ms=_LONG_MS)], "long", long)
        async with asyncio.timeout(30), here.record() as connection:
            while not await connection.fetchval("SELECT count(*) FROM agent_executions WHERE status = 'running'"):
                await asyncio.sleep(0.02)
        for start in range(0, tasks, 50):
            size = min(50, tasks - start)
            given = [{**ledger(), "ttl_s": _TTLS_S[n % len(_TTLS_S)]} for n in range(size)]
            await submit(client, given, f"short-{start}", short)
        loop = asyncio.get_running_loop()
        await until_ended(here, [*long.ids, *short.ids], since=loop.time(), within_s=60)
        seen = await client.task(short.ids[0])
        async with here.record() as connection:
            row = await connection.fetchrow(
                "SELECT count(*) FILTER (WHERE status = 'expired') AS expired,"
                " max(extract(epoch FROM finished_at - expires_at)) FILTER (WHERE status = 'expired') AS latest_s,"
                " count(*) FILTER (WHERE started_at > expires_at) AS late,"
                " (SELECT count(*) FROM ledger WHERE execution_id = ANY($1)) AS effects"
                " FROM agent_executions WHERE id = ANY($1)",
                short.ids,
            )
        return {
            "expired": at_least(row["expired"], len(short.ids)),
            "seconds until seen as expired": at_most(float(row["latest_s"] or 60), _VISIBLE_S),
            "begun after their time": exactly(row["late"], 0),
            "effects of expired ones": exactly(row["effects"], 0),
            "told so by the API": exactly(int(seen["status"] == "expired"), 1),
            "the long one succeeded": exactly(int((await client.task(long.ids[0]))["status"] == "succeeded"), 1),
        }


def main() -> int:
    given = asked(__doc__, tasks=200)
    return report("chaos-expiry", asyncio.run(expiry(given.tasks)))


if __name__ == "__main__":
    sys.exit(main())
