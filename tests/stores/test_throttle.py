"""Wrong passwords make the next wait, strangers lock nobody out, and nothing tells which names exist."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis.asyncio import Redis

from shared.config import Settings
from shared.errors import Invalid, RateLimited, SutazaiError, Unauthorized, Unavailable
from shared.stores import throttle as module
from shared.stores.failures import Failures, Rule
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache
from shared.stores.throttle import RedisThrottle

DEAD = "redis://127.0.0.1:1/0"


@dataclasses.dataclass(frozen=True)
class _Process:
    throttle: RedisThrottle
    cache: Cache
    database: Database
    redis_url: str

    async def tries(
        self, login: str, place: str, *, right_for: UUID | None = None, why: Exception | None = None
    ) -> str:
        try:
            async with self.throttle.attempt(login, place=place) as attempt:
                if right_for is None:
                    raise why or Unauthorized("wrong")
                attempt.belongs_to(right_for)
        except RateLimited as refused:
            return f"wait {refused.retry_after}"
        except SutazaiError:
            return "wrong"
        return "right"

    async def user(self) -> UUID:
        user_id = uuid4()
        await self.database.execute(
            "INSERT INTO users (id, email, email_index, username, password_hash, tier)"
            " VALUES ($1, '', $2, $3, '', 'free')",
            user_id,
            user_id.bytes,
            str(user_id),
        )
        return user_id

    async def pass_by(self, seconds: float) -> None:
        """As if so much time had passed: every count becomes older."""
        for key, (level, at) in self.throttle._own._seen.items():
            self.throttle._own._seen[key] = (level, at - int(seconds * 1e6))
        if self.cache.connected:
            async with Redis.from_url(self.redis_url) as client:
                async for key in client.scan_iter("THROTTLE:*"):
                    await client.hincrby(key, "at", -int(seconds * 1e6))


@asynccontextmanager
async def _process(settings: Settings, redis: str = "up") -> AsyncIterator[_Process]:
    url = {"up": settings.redis_url, "down": DEAD, "absent": ""}[redis]
    here = dataclasses.replace(settings, redis_url=url)
    async with Database(settings=here) as database, Cache(settings=here) as cache:
        if redis == "up":
            assert await cache.reach(within_s=1)
            async with Redis.from_url(url) as client:
                # It is for all accounts together, and so for all tests of this process.
                await client.delete("THROTTLE:everything")
        yield _Process(RedisThrottle(cache=cache, database=database, settings=here), cache, database, url)


def _play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


def _name() -> str:
    return uuid4().hex


def _place(number: int = 0) -> str:
    """One that no other test has."""
    return f"2001:db8:{uuid4().int % 65_000:x}:{uuid4().int % 65_000:x}::{number + 1:x}"


@pytest.mark.parametrize("redis", ["up", "down", "absent"])
def test_ten_failures_are_free_and_then_each_doubles_the_wait(settings: Settings, redis: str) -> None:
    async def scenario() -> None:
        async with _process(settings, redis) as here:
            ada, place = _name(), _place()
            assert [await here.tries(ada, place) for _ in range(10)] == ["wrong"] * 10
            for seconds in (1, 2, 4, 8):
                began = time.monotonic()
                while (said := await here.tries(ada, place)) != "wrong":
                    assert said == f"wait {seconds}" or int(said.split()[1]) < seconds
                    await here.pass_by(seconds)
                assert time.monotonic() - began < 5
            # Nobody waits longer than a second for an answer.
            began = time.monotonic()
            assert await here.tries(ada, place) in ("wait 15", "wait 16")
            assert time.monotonic() - began < 2

    _play(scenario)


@pytest.mark.parametrize("redis", ["up", "absent"])
def test_a_right_password_clears_what_was_wrong_from_there(settings: Settings, redis: str) -> None:
    async def scenario() -> None:
        async with _process(settings, redis) as here:
            ada, place, user_id = _name(), _place(), await here.user()
            for _ in range(4):
                assert [await here.tries(ada, place) for _ in range(4)] == ["wrong"] * 4
                assert await here.tries(ada.upper(), place, right_for=user_id) == "right"

    _play(scenario)


@pytest.mark.parametrize("error", [Invalid("x"), Unavailable("x")])
def test_what_was_no_failure_is_not_counted(settings: Settings, error: SutazaiError) -> None:
    async def scenario() -> None:
        async with _process(settings) as here:
            ada, place = _name(), _place()
            assert {await here.tries(ada, place, why=error) for _ in range(40)} == {"wrong"}
            assert [await here.tries(ada, place) for _ in range(10)] == ["wrong"] * 10

    _play(scenario)


def test_failures_in_one_process_count_in_all(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as one, _process(settings) as other:
            ada, place = _name(), _place()
            for _ in range(5):
                assert [await each.tries(ada, place) for each in (one, other)] == ["wrong"] * 2
            # One of the two waits a second, and then makes the other wait two.
            assert await other.tries(ada, place) == "wrong"
            assert (await one.tries(ada, place)).startswith("wait")

    _play(scenario)


@pytest.mark.parametrize("redis", ["up", "down", "absent"])
def test_strangers_everywhere_do_not_lock_out_whoever_was_there_before(settings: Settings, redis: str) -> None:
    async def scenario() -> None:
        async with _process(settings, redis) as here:
            ada, home, user_id = _name(), _place(), await here.user()
            assert await here.tries(ada, home, right_for=user_id) == "right"
            assert [await here.tries(ada, _place()) for _ in range(20)] == ["wrong"] * 20
            while (said := await here.tries(ada, _place())) == "wrong" or int(said.split()[1]) < 6:
                await here.pass_by(2)
            # The right password from somewhere new waits like the strangers; from home it does not wait at all.
            assert (await here.tries(ada, _place(), right_for=user_id)).startswith("wait")
            began = time.monotonic()
            assert await here.tries(ada, home.replace("::1", "::abcd"), right_for=user_id) == "right"
            assert time.monotonic() - began < 0.5

    _play(scenario)


def test_a_place_that_is_known_never_waits_longer_than_half_a_minute(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings, "absent") as here:
            ada, home, user_id = _name(), _place(), await here.user()
            await here.tries(ada, home, right_for=user_id)
            for _ in range(40):
                await here.tries(ada, home)
                await here.pass_by(31)
            for _ in range(25):
                said = await here.tries(ada, home)
                await here.pass_by(0 if said == "wrong" else 30)
                assert said == "wrong" or int(said.split()[1]) <= 30

    _play(scenario)


def test_a_known_place_is_forgotten_with_its_user(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here:
            ada, home, user_id = _name(), _place(), await here.user()
            await here.tries(ada, home, right_for=user_id)
            row = await here.database.fetchrow("SELECT * FROM login_places WHERE user_id = $1", user_id)
            assert row is not None and len(row["place"]) == 32
            await here.database.execute("DELETE FROM users WHERE id = $1", user_id)
            assert await here.database.fetchval("SELECT count(*) FROM login_places WHERE user_id = $1", user_id) == 0

    _play(scenario)


def test_one_place_that_tries_many_accounts_waits_too(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings, "absent") as here:
            ada, place, user_id = _name(), _place(), await here.user()
            assert await here.tries(ada, place, right_for=user_id) == "right"
            assert [await here.tries(_name(), place) for _ in range(100)] == ["wrong"] * 100
            while (said := await here.tries("", place)) == "wrong":
                pass
            assert said == "wait 1"
            for _ in range(8):
                await here.tries("", place)
                await here.pass_by(5)
            await here.tries("", place)
            assert await here.tries(_name(), place) == "wait 4"
            assert await here.tries(ada, place, right_for=user_id) == "right"
            assert await here.tries(_name(), _place()) == "wrong"

    _play(scenario)


def test_many_at_once_wait_for_one_another_and_the_right_ones_all_get_in(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here:
            ada, place, user_id = _name(), _place(), await here.user()

            async def logs_in() -> str:
                try:
                    async with here.throttle.attempt(ada, place=place) as attempt:
                        await asyncio.sleep(0.02)
                        attempt.belongs_to(user_id)
                except RateLimited as refused:
                    return f"wait {refused.retry_after}"
                return "right"

            said = await asyncio.gather(*(logs_in() for _ in range(30)))
            assert said == ["right"] * 30
            said = await asyncio.gather(*(here.tries(ada, _place()) for _ in range(60)))
            assert 18 <= said.count("wrong") <= 22

    _play(scenario)


def test_redis_holds_hashes_that_fade(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here, Redis.from_url(settings.redis_url, decode_responses=True) as client:
            before = {str(key) for key in await client.keys("THROTTLE:*")}
            await here.tries("ada@example.org", "192.0.2.200")
            made = {str(key) for key in await client.keys("THROTTLE:*")} - before
            assert {key.split(":")[1] for key in made} >= {"here", "account"}
            for key in made:
                assert "ada@" not in key and "192.0.2" not in key
                assert 0 < await client.pttl(key) <= 1_500_000

    _play(scenario)


@examples(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rule=st.builds(
        Rule,
        free=st.integers(1, 4),
        fade_us=st.sampled_from([1_000, 50_000, 10_000_000]),
        first_us=st.sampled_from([500, 5_000, 1_000_000]),
        longest_us=st.sampled_from([2_000, 900_000_000]),
    ),
    steps=st.lists(st.sampled_from(["try", "try", "try", "try later", "take back"]), max_size=25),
)
def test_the_script_counts_as_the_model(redis_url: str, rule: Rule, steps: list[str]) -> None:
    async def scenario() -> None:
        key, own = f"test:{uuid4()}", Failures(10)
        figures = [str(figure) for figure in dataclasses.astuple(rule)]
        async with Redis.from_url(redis_url) as client:
            for step in steps:
                if step == "take back":
                    own.take_back([key])
                    await client.eval(module._TAKE_BACK.text, 1, key, "")
                else:
                    await asyncio.sleep(0.003 if step == "try later" else 0)
                    seconds, micros = await client.time()
                    wait_us = await client.eval(module._ENTER.text, 1, key, *figures)
                    # The moment at which the script looked, out of what it wrote or said.
                    if wait_us == 0:
                        now = int(await client.hget(key, "at") or seconds * 1_000_000 + micros)
                    else:
                        level, at = own._seen[key]
                        now = at + rule.wait(level) - wait_us
                    assert now >= seconds * 1_000_000 + micros
                    assert own.enter({key: rule}, now) == wait_us
                # What has faded altogether is gone from Redis, and makes nobody wait here.
                if (kept := await client.hget(key, "level")) is not None:
                    assert float(kept) == pytest.approx(own._seen[key][0], abs=1e-3)

    _play(scenario)
