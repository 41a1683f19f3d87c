"""Sockets of a user are counted in all processes together, and without Redis in each for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from uuid import uuid4

import pytest

import shared.stores.socket_count
from shared.config import Settings
from shared.ports.live import SocketCount
from shared.stores.redis import Cache
from shared.wiring import Ports


@asynccontextmanager
async def _process(settings: Settings) -> AsyncIterator[SocketCount]:
    async with Ports(settings) as ports:
        await (await ports.open(Cache)).ping()
        yield await ports.open(SocketCount)


def test_two_processes_count_together(settings: Settings) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(20), _process(settings) as one, _process(settings) as other:
            ada, bob = uuid4(), uuid4()
            asked = [(one, ada), (other, ada), (other, ada), (one, bob)]
            async with AsyncExitStack() as stack:
                counted = [await stack.enter_async_context(of.counted(who, most=2)) for of, who in asked]
                assert counted == [True, True, False, True]
            async with other.counted(ada, most=1) as again:
                assert again

    asyncio.run(scenario())


def test_what_a_dead_process_had_open_counts_no_more_after_a_while(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.stores.socket_count, "LEASE_MS", 300)

    async def scenario() -> None:
        async with asyncio.timeout(20), _process(settings) as one, AsyncExitStack() as dead:
            ada = uuid4()
            gone = await dead.enter_async_context(_process(settings))
            assert await dead.enter_async_context(gone.counted(ada, most=1))
            async with one.counted(ada, most=1) as refused:
                assert not refused
            while True:
                async with one.counted(ada, most=1) as admitted:
                    if admitted:
                        break
                await asyncio.sleep(0.02)

    asyncio.run(scenario())


def test_a_process_that_lives_keeps_its_sockets_counted(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.stores.socket_count, "LEASE_MS", 300)
    monkeypatch.setattr(shared.stores.socket_count, "_RENEW_S", 0.05)

    async def scenario() -> None:
        async with asyncio.timeout(20), _process(settings) as one, _process(settings) as other:
            ada = uuid4()
            async with one.counted(ada, most=1) as first:
                for _ in range(20):
                    async with other.counted(ada, most=1) as second:
                        assert (first, second) == (True, False)
                    await asyncio.sleep(0.04)

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1"])
def test_without_redis_each_process_counts_its_own(settings: Settings, url: str) -> None:
    async def scenario() -> None:
        alone = replace(settings, redis_url=url)
        async with asyncio.timeout(20), _process(alone) as one, _process(alone) as other:
            ada = uuid4()
            async with AsyncExitStack() as stack:
                counted = [await stack.enter_async_context(of.counted(ada, most=1)) for of in (one, one, other)]
                assert counted == [True, False, True]
            async with one.counted(ada, most=1) as again:
                assert again

    asyncio.run(scenario())
