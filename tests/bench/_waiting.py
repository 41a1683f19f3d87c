"""Somebody's tasks on a running platform: asked for over HTTP, their times read from the record."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil
from typing import Any, Self
from uuid import UUID

import asyncpg

from tests.system.platform import Client, Platform

_MOST_AT_ONCE = 100
_POLL_S = 0.02


@dataclass(frozen=True)
class Asked:
    """What to ask an agent for; the parameters are taken in turn."""

    agent: str
    tool: str
    parameters: Sequence[dict[str, Any]] = ({},)
    timeout_ms: int = 90_000

    def bodies(self, count: int, priority: int) -> Iterator[dict[str, Any]]:
        for parameters in islice(cycle(self.parameters), count):
            yield {
                "agent_id": self.agent,
                "task": self.tool,
                "parameters": parameters,
                "priority": priority,
                "timeout": self.timeout_ms,
            }


@dataclass(frozen=True)
class Times:
    """In seconds: from accepted to begun, and from accepted to ended; of a task that is not so far, until now."""

    waits: list[float]
    latencies: list[float]


class Asker:
    def __init__(self, client: Client, record: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._client = client
        self._record = record

    @classmethod
    @asynccontextmanager
    async def on(cls, platform: Platform) -> AsyncIterator[Self]:
        record = await asyncpg.connect(platform.postgres_url, server_settings={"search_path": "sutazai"})
        try:
            async with Client(platform.api) as client:
                yield cls(client, record)
        finally:
            await record.close()

    async def ask(self, asked: Asked, count: int, *, priority: int = 4) -> list[UUID]:
        """Their ids, once all are accepted."""
        ids: list[UUID] = []
        bodies = asked.bodies(count, priority)
        while tasks := list(islice(bodies, _MOST_AT_ONCE)):
            answer = await self._client.http.post("/api/v1/agents/execute", json={"tasks": tasks})
            assert answer.status_code == 202, answer.text
            ids += [UUID(task["task_id"]) for task in answer.json()["data"]["tasks"]]
        return ids

    async def count(self, ids: Collection[UUID], *statuses: str) -> int:
        found = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND status = ANY($2)"
        return int(await self._record.fetchval(found, ids, statuses))

    async def until_none(self, ids: Collection[UUID], *statuses: str, within_s: float) -> bool:
        """Returns once none is in one of these states any more, or False when the time is up."""
        try:
            async with asyncio.timeout(within_s):
                while await self.count(ids, *statuses):
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return False
        return True

    async def cancel(self, ids: Sequence[UUID]) -> None:
        for task_id in ids:
            answer = await self._client.http.post(f"/api/v1/tasks/{task_id}/cancel")
            assert answer.status_code in (200, 409), answer.text

    async def times(self, ids: Collection[UUID]) -> Times:
        rows = await self._record.fetch(
            "SELECT extract(epoch FROM coalesce(started_at, now()) - created_at)::float8 AS wait,"
            " extract(epoch FROM coalesce(finished_at, now()) - created_at)::float8 AS latency"
            " FROM agent_executions WHERE id = ANY($1)",
            ids,
        )
        return Times([row["wait"] for row in rows], [row["latency"] for row in rows])


def p95(values: Collection[float]) -> float:
    """The smallest value that 95 % do not exceed."""
    return sorted(values)[ceil(0.95 * len(values)) - 1]
