"""What is remembered of MCP sessions, with the cache and without it."""

import asyncio
from dataclasses import replace

from shared.config import Settings
from shared.ports.mcp_sessions import McpSessions, Remembered
from shared.stores.redis import Cache
from shared.wiring import Ports

ENDED, WARNING = Remembered(ended=True), Remembered(level="warning")


async def _until(sessions: McpSessions, session: str, wanted: Remembered) -> None:
    async with asyncio.timeout(30):
        while await sessions.recall(session) != wanted:
            await asyncio.sleep(0.05)


def test_every_replica_knows_within_a_second_what_one_was_told(settings: Settings) -> None:
    async def play() -> Remembered:
        async with Ports(settings) as one, Ports(settings) as other:
            here, there = await one.open(McpSessions), await other.open(McpSessions)
            for ports in (one, other):
                assert await (await ports.open(Cache)).reach(within_s=0)
            assert await there.recall("s1") == Remembered()
            await here.remember("s1", WARNING, ttl_s=60)
            await _until(there, "s1", WARNING)
            await there.remember("s1", ENDED, ttl_s=60)
            await _until(here, "s1", ENDED)
            return await here.recall("s2")

    assert asyncio.run(play()) == Remembered()


def test_without_the_cache_a_replica_knows_what_it_was_told_itself(settings: Settings) -> None:
    async def play() -> tuple[Remembered, Remembered, Remembered]:
        async with Ports(replace(settings, redis_url="")) as one, Ports(replace(settings, redis_url="")) as other:
            here, there = await one.open(McpSessions), await other.open(McpSessions)
            await here.remember("s3", WARNING, ttl_s=60)
            level = await here.recall("s3")
            await here.remember("s3", ENDED, ttl_s=60)
            return level, await here.recall("s3"), await there.recall("s3")

    assert asyncio.run(play()) == (WARNING, ENDED, Remembered())


def test_an_entry_that_somebody_broke_is_none(settings: Settings) -> None:
    async def play() -> Remembered:
        async with Ports(settings) as ports:
            sessions, cache = await ports.open(McpSessions), await ports.open(Cache)
            assert await cache.reach(within_s=0)
            await cache.set("MCP:session:s4", b"\xffloud", ttl_ms=60_000)
            return await sessions.recall("s4")

    assert asyncio.run(play()) == Remembered()
