"""`make chaos C=broker`: RabbitMQ stopped, killed and wiped while tasks come in; all are accepted and done, once."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tests.chaos._work import ALL_OVER_S
from tests.rabbitmq import RabbitMQ
from tests.report import Target, at_most, exactly, report
from tests.system.platform import Client, Platform


@dataclass
class Submitted:
    """What happened to submissions, one every so often for as long as the block runs."""

    ids: list[str] = field(default_factory=list)
    refused: int = 0
    slowest_s: float = 0.0


@asynccontextmanager
async def submitting(client: Client, *, every_s: float) -> AsyncIterator[Submitted]:
    found = Submitted()

    async def submit() -> None:
        while True:
            began = time.monotonic()
            asked = {"agent_id": "everything", "task": "ledger", "parameters": {"duration_ms": 20}}
            answer = await client.http.post("/api/v1/agents/execute", json=asked)
            found.slowest_s = max(found.slowest_s, time.monotonic() - began)
            if answer.status_code == 202:
                found.ids.append(str(answer.json()["data"]["task_id"]))
            else:
                found.refused += 1
            await asyncio.sleep(every_s)

    task = asyncio.create_task(submit())
    try:
        yield found
    finally:
        task.cancel()
        ended = (await asyncio.gather(task, return_exceptions=True))[0]
        if not isinstance(ended, asyncio.CancelledError):
            raise AssertionError("submitting failed") from ended


async def outage(
    platform: Platform, client: Client, broker: RabbitMQ, *, seconds: float, wiped: bool
) -> dict[str, Target]:
    """The broker is away for so long; with `wiped` it comes back with nothing it knew."""
    async with submitting(client, every_s=0.02) as found:
        await asyncio.sleep(1)
        await asyncio.to_thread(broker.kill if wiped else broker.stop)
        if wiped:
            broker.wipe()
        before = len(found.ids)
        await asyncio.sleep(seconds)
        meanwhile = len(found.ids) - before
        await asyncio.to_thread(broker.start)
        await asyncio.sleep(1)
    began = time.monotonic()
    counted = await _ended(platform, found.ids)
    name = "wiped" if wiped else "stopped"
    print(f"{name}: {len(found.ids)} accepted, {meanwhile} of them without a broker; ended {dict(counted)}")
    return {
        f"{name}: submissions refused": exactly(found.refused, 0),
        f"{name}: accepted without a broker": exactly(min(meanwhile, 1), 1),
        f"{name}: not done once": exactly(len(found.ids) - counted["succeeded once"], 0),
        f"{name}: s until all had ended": at_most(time.monotonic() - began, ALL_OVER_S),
    }


async def _ended(platform: Platform, ids: list[str]) -> Counter[str]:
    connection = await asyncpg.connect(platform.postgres_url, server_settings={"search_path": "sutazai"})
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval(
                "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND finished_at IS NULL", ids
            ):
                await asyncio.sleep(0.05)
        rows = await connection.fetch(
            "SELECT e.status || CASE (SELECT count(*) FROM ledger l WHERE l.execution_id = e.id)"
            " WHEN 0 THEN ' never' WHEN 1 THEN ' once' ELSE ' twice' END AS how, count(*) AS n"
            " FROM agent_executions e WHERE id = ANY($1) GROUP BY 1",
            ids,
        )
    finally:
        await connection.close()
    return Counter({row["how"]: row["n"] for row in rows})


async def _measure(seconds: float) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    with tempfile.TemporaryDirectory(prefix="sutazai-chaos-") as folder, RabbitMQ() as broker:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_AMQP_URL=broker.url()) as platform:
            async with Client(platform.api) as client:
                for wiped in (False, True):
                    targets |= await outage(platform, client, broker, seconds=seconds, wiped=wiped)
    return targets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long each outage lasts")
    return report("chaos-broker", asyncio.run(_measure(parser.parse_args().minutes * 60)))


if __name__ == "__main__":
    sys.exit(main())
