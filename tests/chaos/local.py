"""`make chaos C=local`: every process is killed at random while tasks come in; what was accepted must end, once."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import httpx

from tests.chaos.ledger_origin import Origin, origin
from tests.report import Target, at_most, exactly, report
from tests.system.platform import Client, Platform

ALL_OVER_S = 15.0


async def _submit(platform: Platform, client: Client, here: Origin, number: int) -> str:
    """Until it is accepted: with a key, so that a lost answer makes no second task."""
    body = {
        "agent_id": "everything",
        "task": "ledger",
        "parameters": {"duration_ms": random.randrange(0, 300), "url": here.url},
        "ttl_s": 3600,
    }
    while True:
        try:
            answer = await client.http.post(
                f"{platform.api}/api/v1/agents/execute", json=body, headers={"Idempotency-Key": f"n{number}"}
            )
            if answer.status_code == 202:
                return str(answer.json()["data"]["task_id"])
            assert answer.status_code in (429, 500, 503, 504), answer.text
        except (httpx.TransportError, FileNotFoundError):
            pass
        await asyncio.sleep(0.2)


async def _kill(platform: Platform, seed: int, submitted: asyncio.Event, seconds: float) -> tuple[int, float]:
    """Returns how many kills, and when the last one was."""
    dice = random.Random(seed)
    kills, began = 0, time.monotonic()
    while not submitted.is_set() or time.monotonic() - began < seconds:
        await asyncio.sleep(dice.uniform(0.5, 2.0))
        role = dice.choice(["worker", "worker", "gateway", "postgres", "redis", "everything"])
        if role == "everything":
            platform.kill_everything()
            await asyncio.to_thread(platform.start)
            kills += 1
        elif pids := platform.pids().get(role):
            platform.kill(dice.choice(pids))
            kills += 1
    return kills, time.monotonic()


async def _wait_for_ends(platform: Platform, ids: list[str], last_kill: float) -> float:
    """Seconds from the last kill until all tasks have ended, by the record."""
    while time.monotonic() - last_kill < 60:
        try:
            connection = await asyncpg.connect(platform.postgres_url, timeout=5)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.1)
            continue
        try:
            query = "SELECT count(*) FROM sutazai.agent_executions WHERE id = ANY($1) AND finished_at IS NOT NULL"
            if await connection.fetchval(query, ids) == len(ids):
                break
        finally:
            await connection.close()
        await asyncio.sleep(0.2)
    return time.monotonic() - last_kill


async def _count(platform: Platform, ids: list[str], here: Origin) -> dict[str, Target]:
    connection = await asyncpg.connect(platform.postgres_url)
    try:
        statuses = await connection.fetch(
            "SELECT status, count(*) AS n FROM sutazai.agent_executions WHERE id = ANY($1) GROUP BY status", ids
        )
        effects = await connection.fetch("SELECT execution_id::text AS id FROM sutazai.ledger")
        results = await connection.fetch(
            "SELECT subject, count(*) AS n FROM sutazai.events WHERE type IN ('task.succeeded.v1', 'task.failed.v1',"
            " 'task.cancelled.v1', 'task.expired.v1') GROUP BY subject"
        )
        late = await connection.fetch(
            "SELECT subject, array_agg(type || to_char(at, ' HH24:MI:SS.MS') ORDER BY position) AS course"
            " FROM sutazai.events WHERE subject IN (SELECT id::text FROM sutazai.agent_executions"
            " ORDER BY finished_at DESC LIMIT 3) GROUP BY 1"
        )
        given_up = await connection.fetchval(
            "SELECT count(*) FROM sutazai.agent_executions WHERE status = 'failed' AND error ->> 'code' = 'WORKER_LOST'"
        )
        total = await connection.fetchval("SELECT count(*) FROM sutazai.agent_executions")
    finally:
        await connection.close()
    for row in late:
        print("among the last:", row["subject"], *row["course"])
    print("ended:", {row["status"]: row["n"] for row in statuses}, "outside calls:", sum(here.calls.values()))
    succeeded = sum(row["n"] for row in statuses if row["status"] == "succeeded")
    ended = sum(row["n"] for row in statuses if row["status"] not in ("queued", "running"))
    one_effect = {row["id"] for row in effects}
    return {
        "lost": exactly(len(ids) - ended, 0),
        "rows beyond the accepted ones": exactly(total - len(set(ids)), 0),
        "succeeded without an effect": exactly(max(succeeded - len(one_effect & set(ids)), 0), 0),
        "tasks without exactly one result event": exactly(len(ids) - sum(row["n"] == 1 for row in results), 0),
        "outside calls with a second key": exactly(sum(len(keys) > 1 for keys in here.keys.values()), 0),
        "ended otherwise than by success or five lost workers": exactly(len(ids) - succeeded - given_up, 0),
    }


async def storm(tasks: int, seed: int, seconds: float) -> dict[str, Target]:
    """One run; every kill is by -9."""
    random.seed(seed)
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
    submitted = asyncio.Event()
    killer = asyncio.create_task(_kill(platform, seed, submitted, seconds))
    gate = asyncio.Semaphore(32)
    pace = seconds / tasks

    async def one(number: int) -> str:
        await asyncio.sleep(number * pace)
        async with gate:
            return await _submit(platform, client, here, number)

    ids = list(await asyncio.gather(*(one(number) for number in range(tasks))))
    submitted.set()
    kills, last = await killer
    all_over_s = await _wait_for_ends(platform, ids, last)
    print(f"seed {seed}: {tasks} tasks, {kills} kills, all over {all_over_s:.1f} s after the last")
    return {**await _count(platform, ids, here), "seconds from last kill to all ended": at_most(all_over_s, ALL_OVER_S)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1.0)
    asked = parser.parse_args()
    worst: dict[str, Target] = {}
    for seed in range(asked.seeds):
        for key, target in asyncio.run(storm(asked.tasks, seed, asked.minutes * 60)).items():
            worst[key] = max(worst.get(key, target), target, key=lambda t: t.value)
    return report("chaos-local", worst)


if __name__ == "__main__":
    sys.exit(main())
