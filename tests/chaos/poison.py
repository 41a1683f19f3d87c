"""`make chaos C=poison`: bad JSON, os._exit, out of memory, 10 MiB; they end as failures, and burn nobody else."""

import asyncio
import sys
from typing import Any

import aio_pika

from shared.function import MIB
from tests.chaos._cluster import Cluster, Shape, cluster
from tests.chaos._seeds import asked
from tests.chaos._work import Accepted, judged, ledger, submit
from tests.report import Target, exactly, report
from tests.system.platform import Client

BODIES = (b"{", b"[]", b"\xff\xfe", b"\x00" * 64, b'{"specversion": "1.0"}', b"[" * 100_000, b'{"a": 1e400}')
_WITHIN_S = 120.0


def _crash(failure: str) -> dict[str, Any]:
    return {"agent_id": "everything", "task": "ledger-crash", "parameters": {"failure": failure}, "ttl_s": 3600}


POISONS = {
    "exit": _crash("exit"),
    "memory": _crash("memory"),
    "10MiB": ledger(padding_bytes=10 * MIB),
    "exception": ledger(failure="exception"),
}


async def _poison_the_queue(here: Cluster) -> int:
    """Messages that are no wake-ups, right into the task queue, and ones that nobody serves."""
    connection = await aio_pika.connect(here.urls.amqp)
    try:
        exchange = await (await connection.channel()).get_exchange("agents", ensure=False)
        for body in (*BODIES, b"x" * (10 * MIB)):
            await exchange.publish(
                aio_pika.Message(body, content_type="application/cloudevents+json"), "task.everything"
            )
    finally:
        await connection.close()
    return len(BODIES) + 1


async def _poison_the_api(client: Client) -> dict[str, int]:
    """By answer, how many bodies were refused with it."""
    found: dict[str, int] = {}
    for body in (*BODIES, b'{"agent_id": "' + b"x" * (10 * MIB) + b'"}'):
        answer = await client.http.post(
            "/api/v1/agents/execute", content=body, headers={"Content-Type": "application/json"}
        )
        found[str(answer.status_code)] = found.get(str(answer.status_code), 0) + 1
    return found


async def poison(neighbours: int, each: int) -> dict[str, Target]:
    async with cluster(Shape()) as here, Client(here.apis[0]) as client:
        found, poisoned = Accepted(), Accepted()
        before = {role: here.pids(role) for role in here.roles if role != "broker"}
        for start in range(0, neighbours, 20):
            size = min(20, neighbours - start)
            await submit(client, [ledger(duration_ms=50) for _ in range(size)], f"well-{start}", found)
            if start == 0:
                thrown = await _poison_the_queue(here)
                for name, task in POISONS.items():
                    await submit(client, [task] * each, f"poison-{name}", poisoned)
                answers = await _poison_the_api(client)
        ended = await _all_ended(here, [*found.ids, *poisoned.ids])
        return {
            "all ended in time": exactly(int(ended), 1),
            **await _poisoned(here, poisoned.ids, thrown),
            "bodies refused with 400 or 413": exactly(answers.get("400", 0) + answers.get("413", 0), len(BODIES) + 1),
            **await _well(here, found.ids),
            "processes that had to be started again": exactly(
                sum(here.pids(role) != pids for role, pids in before.items()), 0
            ),
        }


async def _all_ended(here: Cluster, ids: list[str]) -> bool:
    left = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND finished_at IS NULL"
    try:
        async with asyncio.timeout(_WITHIN_S), here.record() as connection:
            while await connection.fetchval(left, ids):
                await asyncio.sleep(0.1)
    except TimeoutError:
        return False
    return True


async def _poisoned(here: Cluster, ids: list[str], thrown: int) -> dict[str, Target]:
    async with here.record() as connection:
        rows = await connection.fetch(
            "SELECT task_id, status, error ->> 'code' AS code, attempt, count(*) AS n FROM agent_executions"
            " WHERE id = ANY($1) GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            ids,
        )
        letters = await connection.fetchval("SELECT count(*) FROM dead_letters WHERE reason = 'unreadable'")
    for row in rows:
        print("poison:", dict(row))
    return {
        "poison that did not fail": exactly(sum(row["n"] for row in rows if row["status"] != "failed"), 0),
        "bad messages on record": exactly(letters, thrown),
    }


async def _well(here: Cluster, ids: list[str]) -> dict[str, Target]:
    async with here.record() as connection:
        burnt = await connection.fetchval(
            "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND"
            " (status <> 'succeeded' OR attempt > 1 OR losses > 0)",
            ids,
        )
    counted = await judged(here, ids)
    kept = ("lost", "duplicated effects", "not exactly one result event")
    return {"neighbours that were burnt": exactly(burnt, 0), **{name: counted[name] for name in kept}}


def main() -> int:
    given = asked(__doc__, tasks=200)
    return report("chaos-poison", asyncio.run(poison(given.tasks, each=2)))


if __name__ == "__main__":
    sys.exit(main())
