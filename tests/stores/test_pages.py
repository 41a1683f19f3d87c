"""Pages in a real Redis, and without one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from shared.config import Settings
from shared.crypto import Codec
from shared.ports.pages import KeptPage
from shared.stores.pages import RedisPages
from shared.stores.redis import Cache

T = TypeVar("T")
PAGE = KeptPage(
    url="http://one.example/",
    status=200,
    headers={"etag": '"1"', "x": "ü"},
    body=b"\0\n\xff" * 1000,
    fetched_at=1.5,
    fresh_until=2.5,
)


def play(redis_url: str, scenario: Callable[[RedisPages, Cache], Awaitable[T]]) -> T:
    async def run() -> T:
        nowhere = Path("/nonexistent")
        settings = Settings(home=nowhere, keys_dir=nowhere, files_dir=nowhere, redis_url=redis_url)
        async with Cache(settings=settings) as cache, asyncio.timeout(20):
            if redis_url:
                assert await cache.ping()
            return await scenario(RedisPages(cache=cache, codec=Codec()), cache)

    return asyncio.run(run())


def test_a_page_is_found_again_by_its_user_and_request_alone(redis_url: str) -> None:
    user_id = uuid4()

    async def scenario(pages: RedisPages, _cache: Cache) -> list[KeptPage | None]:
        await pages.keep(user_id, "request", PAGE, ttl_s=60)
        return [
            await pages.get(user_id, "request"),
            await pages.get(user_id, "another"),
            await pages.get(uuid4(), "request"),
        ]

    assert play(redis_url, scenario) == [PAGE, None, None]


def test_a_page_that_is_large_or_would_be_gone_at_once_is_not_kept(redis_url: str) -> None:
    user_id = uuid4()

    async def scenario(pages: RedisPages, _cache: Cache) -> list[KeptPage | None]:
        await pages.keep(user_id, "large", replace(PAGE, body=b"x" * ((1 << 20) + 1)), ttl_s=60)
        await pages.keep(user_id, "brief", PAGE, ttl_s=0.5)
        await pages.keep(user_id, "whole", replace(PAGE, body=b"x" * (1 << 20)), ttl_s=60)
        return [await pages.get(user_id, name) for name in ("large", "brief", "whole")]

    large, brief, whole = play(redis_url, scenario)
    assert (large, brief) == (None, None)
    assert whole is not None
    assert len(whole.body) == 1 << 20


def test_no_page_outlasts_the_hour(redis_url: str) -> None:
    user_id = uuid4()

    async def scenario(pages: RedisPages, cache: Cache) -> int:
        await pages.keep(user_id, "request", PAGE, ttl_s=1e9)
        (name,) = await cache._client.keys(f"CACHE:pages:{user_id}:*")
        return int(await cache._client.ttl(name))

    assert 3500 < play(redis_url, scenario) <= 3600


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"x",
        b"\0",
        b"\0{}",
        b"\0{}\n",
        b"\0[]\nx",
        b"\xff{}",
        b"\0" + b"[" * 100_000,
        b'\0{"url":1,"status":"x"}\n',
    ],
)
def test_an_entry_that_somebody_broke_is_none(broken: bytes, redis_url: str) -> None:
    user_id = uuid4()

    async def scenario(pages: RedisPages, cache: Cache) -> KeptPage | None:
        await pages.keep(user_id, "request", PAGE, ttl_s=60)
        (name,) = await cache._client.keys(f"CACHE:pages:{user_id}:*")
        await cache.set(name.decode(), broken, ttl_ms=60_000)
        return await pages.get(user_id, "request")

    assert play(redis_url, scenario) is None


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:1/0"])
def test_without_redis_there_is_no_cache_and_no_error(url: str) -> None:
    async def scenario(pages: RedisPages, _cache: Cache) -> KeptPage | None:
        await pages.keep(UUID(int=1), "request", PAGE, ttl_s=60)
        return await pages.get(UUID(int=1), "request")

    async def run() -> KeptPage | None:
        nowhere = Path("/nonexistent")
        settings = Settings(home=nowhere, keys_dir=nowhere, files_dir=nowhere, redis_url=url)
        async with Cache(settings=settings) as cache:
            return await scenario(RedisPages(cache=cache, codec=Codec()), cache)

    assert asyncio.run(run()) is None
