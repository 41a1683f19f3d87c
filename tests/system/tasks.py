"""What scenarios ask about tasks on the whole platform, through its API and in its record."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from tests.system.platform import Client, Platform

T = TypeVar("T")
RESULTS = "('task.succeeded.v1', 'task.failed.v1', 'task.cancelled.v1', 'task.expired.v1')"


def play(platform: Platform, scenario: Callable[[Client], Awaitable[T]], *, within_s: float = 45) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(within_s), Client(platform.api) as client:
            return await scenario(client)

    return asyncio.run(bounded())


@asynccontextmanager
async def record(platform: Platform) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(platform.postgres_url, server_settings={"search_path": "sutazai"})
    try:
        yield connection
    finally:
        await connection.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """What happens in another process can only be asked for again and again; the caller's deadline bounds it."""
    while not await holds():
        await asyncio.sleep(0.02)


async def running(client: Client, task_id: str) -> None:
    async def begun() -> bool:
        return bool((await client.task(task_id))["status"] == "running")

    await until(begun)


async def all_ended(platform: Platform, ids: Sequence[str], *, within_s: float) -> None:
    """By the record, which also tells while the platform is starting."""
    left = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND finished_at IS NULL"

    async def none_left() -> bool:
        return not await connection.fetchval(left, ids)

    async with asyncio.timeout(within_s), record(platform) as connection:
        await until(none_left)


async def worker_of(platform: Platform, task_id: str) -> int:
    """The process that runs a task."""
    async with record(platform) as connection:
        held = "SELECT worker_id FROM agent_executions WHERE id = $1"
        slot = await connection.fetchval(f"SELECT slot FROM workers WHERE id = ({held})", UUID(task_id))
    [pid] = [
        pid
        for pid in platform.pids()["worker"]
        if f"SUTAZAI_WORKER_SLOT={slot}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    ]
    return pid


async def effects(platform: Platform, ids: Sequence[str]) -> tuple[dict[str, int], dict[str, int]]:
    """By execution: how many effects it left, and how many results were announced."""
    async with record(platform) as connection:
        left = await connection.fetch("SELECT execution_id::text AS id, count(*) AS n FROM ledger GROUP BY 1")
        results = f"SELECT subject AS id, count(*) AS n FROM events WHERE type IN {RESULTS} GROUP BY 1"
        ended = await connection.fetch(results)
    found = [{row["id"]: row["n"] for row in rows if row["id"] in ids} for rows in (left, ended)]
    return found[0], found[1]
