"""Rates over a real Redis that is killed, flushed and stopped: never does more pass than the tier says."""

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis.asyncio import Redis

from shared.config import Settings
from shared.local.valkey import valkey_service, valkey_url
from shared.ports.limits import TIERS
from shared.stores import limits as module
from shared.stores.gcra import Plan
from shared.stores.limits import RedisLimits
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache
from tests.engine import mortal
from tests.stores._hammer import PLAN

REPOSITORY = Path(__file__).resolve().parents[2]
DEAD = "redis://127.0.0.1:1/0"

Admitted = list[tuple[float, float]]


class Valkey:
    """A server of one test alone, to be killed and started as it likes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._service = asyncio.run(valkey_service(home, fsync=False, say=lambda _: None))
        self.url = valkey_url(home)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        service = self._service
        self._process = subprocess.Popen(
            mortal(service.argv), env=dict(service.env or {}), cwd="/", user=service.uid, group=service.gid,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while not asyncio.run(self._is_ready()):
            assert time.monotonic() < deadline, "valkey did not start"

    async def _is_ready(self) -> bool:
        try:
            return await self._service.ready()
        except OSError:
            await asyncio.sleep(0.01)
            return False

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait(10)

    def flush(self) -> None:
        async def flushed() -> None:
            async with Redis.from_url(self.url) as client:
                await client.flushall()

        asyncio.run(flushed())


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="sutazai-limits-") as folder:
        Path(folder).chmod(0o711)
        server = Valkey(Path(folder))
        server.start()
        yield server
        server.send(signal.SIGKILL)


@contextmanager
def _hammers(count: int, settings: Settings, url: str, seconds: float) -> Iterator[list[subprocess.Popen[str]]]:
    environ = {
        **os.environ,
        "SUTAZAI_HOME": str(settings.home),
        "SUTAZAI_POSTGRES_URL": settings.postgres_url,
        "SUTAZAI_REDIS_URL": url,
    }
    command = [sys.executable, "-m", "tests.stores._hammer", str(count), str(seconds)]
    pipe = subprocess.PIPE
    hammers = [
        subprocess.Popen(command, cwd=REPOSITORY, env=environ, stdin=pipe, stdout=pipe, text=True) for _ in range(count)
    ]
    try:
        for hammer in hammers:
            assert hammer.stdout is not None and hammer.stdin is not None
            assert hammer.stdout.readline() == "ready\n"
        for hammer in hammers:
            assert hammer.stdin is not None
            hammer.stdin.write("go\n")
            hammer.stdin.flush()
        yield hammers
    finally:
        for hammer in hammers:
            hammer.kill()
            hammer.communicate()


def _said(hammers: Sequence[subprocess.Popen[str]]) -> Admitted:
    found: Admitted = []
    for hammer in hammers:
        assert hammer.stdout is not None
        found.extend((before, after) for before, after in json.loads(hammer.stdout.readline()))
        assert hammer.wait(10) == 0
    return sorted(found, key=lambda each: each[1])


def _most_above(admitted: Admitted, plan: Plan) -> float:
    """By how many requests any window exceeds burst + rate x t; a window holds all decisions between its ends."""
    worst = float("-inf")
    for first in range(len(admitted)):
        begin = float("inf")
        # Those that ended before this one ended are not in windows that begin with it; it may have begun before them.
        for last in range(first, len(admitted)):
            begin = min(begin, admitted[last][0])
            window_us = (admitted[last][1] - min(begin, admitted[first][0])) * 1e6
            worst = max(worst, last - first + 1 - plan.burst - window_us / plan.interval_us)
    return worst


def _between(admitted: Admitted, start: float, end: float) -> int:
    return sum(start <= after < end for _, after in admitted)


@pytest.mark.parametrize("processes", [1, 4])
def test_never_more_than_burst_and_rate_passes_whatever_becomes_of_redis(
    settings: Settings, valkey: Valkey, processes: int
) -> None:
    with _hammers(processes, settings, valkey.url, 17) as hammers:
        began = time.monotonic()

        def at(seconds: float) -> None:
            time.sleep(max(0.0, began + seconds - time.monotonic()))

        at(3)
        valkey.send(signal.SIGKILL)
        at(5)
        valkey.start()
        at(9)
        valkey.flush()
        at(12)
        valkey.send(signal.SIGSTOP)
        at(13)
        valkey.send(signal.SIGCONT)
        admitted = _said(hammers)
    assert _most_above(admitted, PLAN) <= 0
    # And not by refusing everything: half of the rate at least is used up while Redis is there, and some without it.
    half_us = PLAN.interval_us * 2
    for start, end, part in ((0, 3, 1.0), (3.5, 5, 0.2), (7.5, 9, 1.0), (12.5, 13, 0.1), (15, 17, 1.0)):
        assert _between(admitted, began + start, began + end) >= (end - start) * 1e6 / half_us * part, (start, end)


@asynccontextmanager
async def _process(settings: Settings, **changed: Any) -> AsyncIterator[RedisLimits]:
    here = dataclasses.replace(settings, **changed)
    async with Database(settings=here) as database, Cache(settings=here) as cache:
        yield RedisLimits(cache=cache, database=database, settings=here)


def _play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


@pytest.mark.parametrize("tier", ["free", "basic", "pro"])
def test_a_new_caller_has_the_burst_of_the_tier_and_not_one_more(settings: Settings, tier: str) -> None:
    burst = TIERS[tier].burst

    async def scenario() -> None:
        async with _process(settings) as limits:
            ada = str(uuid4())
            quotas = [await limits.take(ada, tier) for _ in range(burst)]
            assert all(quota is not None and quota.admitted for quota in quotas)
            assert [quota.remaining for quota in quotas if quota][:3] == [burst - 1, burst - 2, burst - 3]
            quota = await limits.take(ada, tier)
            while quota is not None and quota.admitted:
                # A slow machine earns a few while it asks.
                quota = await limits.take(ada, tier)
            assert quota is not None
            interval_s = 3600 / (TIERS[tier].per_hour or 0)
            assert (quota.limit, quota.remaining) == (TIERS[tier].per_hour, 0)
            assert 0 < quota.retry_after_s <= interval_s
            assert quota.reset_after_s == pytest.approx(interval_s * burst, abs=interval_s)
            other = await limits.take(str(uuid4()), tier)
            assert other is not None and other.admitted and other.remaining == burst - 1

    _play(scenario)


def test_a_refusal_does_not_put_off_the_next_request(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as limits:
            ada = str(uuid4())
            waits = [quota.retry_after_s for _ in range(60) if (quota := await limits.take(ada, "free"))]
            refused = [wait for wait in waits if wait]
            assert len(refused) >= 49 and refused == sorted(refused, reverse=True)

    _play(scenario)


@pytest.mark.parametrize("redis", ["up", "down", "absent"])
def test_what_is_unlimited_is_not_even_asked_for(settings: Settings, redis: str) -> None:
    url = {"up": settings.redis_url, "down": DEAD, "absent": ""}[redis]

    async def scenario() -> None:
        async with _process(settings, redis_url=url, postgres_url="postgresql://nowhere/x") as limits:
            assert {await limits.take("ada", "enterprise") for _ in range(2000)} == {None}
            assert not limits._cache.connected

    _play(scenario)


def test_an_unknown_tier_is_the_smallest(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as limits:
            quota = await limits.take(str(uuid4()), "platinum")
            assert quota is not None and (quota.limit, quota.remaining) == (100, 9)
            assert [limits.sockets(tier) for tier in (*TIERS, "platinum")] == [1, 5, 20, 100, 1]

    _play(scenario)


@pytest.mark.parametrize("redis_url", [DEAD, ""])
def test_a_process_that_never_met_redis_gives_no_burst(settings: Settings, redis_url: str) -> None:
    async def scenario() -> None:
        for replicas in (1, 4):
            async with _process(settings, redis_url=redis_url, replicas=replicas) as limits:
                quota = await limits.take("ada", "free")
                assert quota is not None and not quota.admitted
                assert quota.retry_after_s == pytest.approx(36 * replicas, abs=1)

    _play(scenario)


def test_more_processes_than_a_burst_has_places_let_nothing_pass_alone(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings, redis_url=DEAD, replicas=11) as limits:
            quota = await limits.take("ada", "free")
            assert quota is not None and not quota.admitted and quota.retry_after_s > 0

    _play(scenario)


def test_the_only_process_goes_on_from_what_it_knows_when_redis_dies(settings: Settings, valkey: Valkey) -> None:
    async def scenario() -> None:
        async with _process(settings, redis_url=valkey.url) as limits:
            left = [quota.remaining for _ in range(4) if (quota := await limits.take("ada", "free"))]
            valkey.send(signal.SIGKILL)
            left += [quota.remaining for _ in range(8) if (quota := await limits.take("ada", "free"))]
            assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
            # Whoever it has not seen may have spent all elsewhere.
            stranger = await limits.take("bob", "free")
            assert stranger is not None and not stranger.admitted

    _play(scenario)


@pytest.mark.parametrize("replicas", [1, 4])
def test_a_redis_that_was_emptied_gives_no_new_burst(settings: Settings, valkey: Valkey, replicas: int) -> None:
    async def is_admitted(limits: RedisLimits, who: str) -> bool:
        quota = await limits.take(who, "free")
        return quota is not None and quota.admitted

    async def scenario() -> None:
        async with _process(settings, redis_url=valkey.url, replicas=replicas) as limits:
            assert [await is_admitted(limits, "ada") for _ in range(11)] == [True] * 10 + [False]
            async with Database(settings=settings) as database:
                await database.execute("UPDATE rate_limits_begun SET at = at - interval '1 hour'")
            async with Redis.from_url(valkey.url) as client:
                await client.flushall()
            assert not await is_admitted(limits, "ada")
            assert not await is_admitted(limits, "somebody it has never seen")
        # Nor to a process that knows nothing.
        async with _process(settings, redis_url=valkey.url, replicas=replicas) as limits:
            assert not await is_admitted(limits, "ada")

    _play(scenario)


def test_the_first_redis_of_a_platform_owes_nobody(settings: Settings, valkey: Valkey) -> None:
    async def scenario() -> None:
        async def first(replicas: int) -> bool:
            async with _process(settings, redis_url=valkey.url, replicas=replicas) as limits:
                quota = await limits.take(str(uuid4()), "free")
                return quota is not None and quota.admitted

        assert all(await asyncio.gather(first(2), first(2)))

    _play(scenario)


def test_what_lies_in_redis_is_named_as_agreed_and_goes_by_itself(settings: Settings, valkey: Valkey) -> None:
    async def scenario() -> None:
        ada = str(uuid4())
        async with _process(settings, redis_url=valkey.url) as limits, Redis.from_url(valkey.url) as client:
            await limits.take(ada, "free")
            assert set(await client.keys()) == {f"RATE_LIMIT:{ada}:all".encode(), b"RATE_LIMIT:epoch"}
            assert 35_000 < await client.pttl(f"RATE_LIMIT:{ada}:all") <= 36_001

    _play(scenario)


@examples(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    interval_us=st.sampled_from([900, 1_500, 20_000, 3_600_000]),
    burst=st.integers(1, 12),
    steps=st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.004]), st.integers(-40, 40)), max_size=30),
)
def test_the_script_decides_as_the_model(
    redis_url: str, interval_us: int, burst: int, steps: list[tuple[float, int]]
) -> None:
    """Each step waits a while and says how far ahead of now, in intervals, the caller knows the bucket to be."""
    plan, key, epoch = Plan(interval_us, burst), f"test:{uuid4()}", f"test:{uuid4()}"

    async def scenario() -> None:
        tat = now = 0
        async with Redis.from_url(redis_url) as client:
            await client.hset(epoch, mapping={"settled": 0, "called": 0, "gap": 0})
            for pause_s, ahead in steps:
                await asyncio.sleep(pause_s)
                floor = max(0, now + ahead * interval_us) if ahead > 0 else 0
                arguments = (interval_us, burst, floor, 1, 0, 0, 0)
                state, now, found = await client.eval(module._TAKE.text, 2, key, epoch, *map(str, arguments))
                admitted, after = plan.take(max(tat, floor), now)
                assert (state, found) == (int(admitted), after)
                # What the caller knows is kept with an admission only.
                tat = after if admitted else tat

    _play(scenario)
