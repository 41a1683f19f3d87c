"""Sessions behind two caches: what was ended is ended everywhere within a second, whatever the caches do."""

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import pytest

from shared.config import Settings
from shared.function import Call
from shared.ports.sessions import Active
from shared.stores.postgres.database import Database
from shared.stores.postgres.sessions import PostgresSessions
from shared.stores.redis import Cache
from shared.stores.sessions import CachedSessions
from tests.people import within_a_second

CALL = Call(request_id="r", address="192.0.2.1", user_agent="tests")
DEAD = "redis://127.0.0.1:1/0"


@dataclasses.dataclass(frozen=True)
class _Process:
    sessions: CachedSessions
    cache: Cache
    database: Database


@asynccontextmanager
async def _process(settings: Settings, *, connected: bool = True) -> AsyncIterator[_Process]:
    async with Database(settings=settings) as database, Cache(settings=settings) as cache:
        sessions = CachedSessions(record=PostgresSessions(database=database), cache=cache, settings=settings)
        if connected:
            await _connected(cache)
        yield _Process(sessions, cache, database)


async def _connected(cache: Cache) -> None:
    async def asked() -> bool:
        await cache.get("warm")
        return cache.connected

    while not cache.connected:
        with suppress(TimeoutError):
            await within_a_second(asked)


def _play(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


async def _user(database: Database, name: str = "ada") -> UUID:
    user_id = uuid4()
    await database.execute(
        "INSERT INTO users (id, email, email_index, username, password_hash, tier) VALUES ($1, '', $2, $3, '', 'free')",
        user_id,
        name.encode(),
        name,
    )
    return user_id


async def _begun(process: _Process) -> Active:
    return await process.sessions.start(await _user(process.database), "szr_" + uuid4().hex, call=CALL)


async def _ends_within_a_second(process: _Process, session_id: UUID) -> None:
    async def refused() -> bool:
        return await process.sessions.check(session_id) is None

    await within_a_second(refused)


def test_a_session_is_found_in_every_process_and_not_once_it_has_ended(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as one, _process(settings) as other:
            begun = await _begun(one)
            assert await one.sessions.check(begun.session_id) == begun == await other.sessions.check(begun.session_id)
            assert await one.sessions.end(begun.user_id, begun.session_id, action="auth.logout")
            assert await one.sessions.check(begun.session_id) is None
            await _ends_within_a_second(other, begun.session_id)

    _play(scenario)


@pytest.mark.parametrize("redis", ["up", "down", "absent"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET revoked_at = now()",
        "UPDATE users SET is_active = false",
        "UPDATE sessions SET expires_at = now()",
        "DELETE FROM users",
    ],
)
def test_every_way_to_end_holds_within_a_second(settings: Settings, redis: str, change: str) -> None:
    url = {"up": settings.redis_url, "down": DEAD, "absent": ""}[redis]
    here = dataclasses.replace(settings, redis_url=url)

    async def scenario() -> None:
        async with (
            _process(here, connected=redis == "up") as one,
            _process(here, connected=redis == "up") as other,
        ):
            begun = await _begun(one)
            assert await one.sessions.check(begun.session_id) and await other.sessions.check(begun.session_id)
            await one.database.execute(change)
            await asyncio.gather(*(_ends_within_a_second(each, begun.session_id) for each in (one, other)))

    _play(scenario)


def test_a_change_of_roles_holds_within_a_second(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here:
            begun = await _begun(here)
            await here.sessions.check(begun.session_id)
            await here.database.execute("UPDATE users SET roles = '{auditor}'")

            async def audits() -> bool:
                found = await here.sessions.check(begun.session_id)
                return found is not None and found.roles == {"auditor"}

            await within_a_second(audits)

    _play(scenario)


def test_an_entry_in_redis_has_the_seeds_form_and_a_short_life(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here:
            begun = await _begun(here)
            await here.sessions.check(begun.session_id)
            entry = json.loads(await here.cache.get(f"SESSION:{begun.session_id}") or b"")
            assert set(entry) == {"user_id", "expires", "data"} and entry["user_id"] == str(begun.user_id)
            assert 0 < await here.cache._client.pttl(f"SESSION:{begun.session_id}") <= 500

    _play(scenario)


def test_an_old_entry_that_redis_held_back_keeps_nobody_logged_in(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here, _process(settings) as other:
            begun = await _begun(here)
            await here.sessions.check(begun.session_id)
            name = f"SESSION:{begun.session_id}"
            entry = await here.cache.get(name)
            assert entry is not None
            await here.sessions.end(begun.user_id, begun.session_id, action="auth.logout")
            await here.cache.set(name, entry, ttl_ms=60_000)
            await asyncio.gather(*(_ends_within_a_second(each, begun.session_id) for each in (here, other)))

    _play(scenario)


@pytest.mark.parametrize("planted", ["roles", "user", "checked", "expires", "no seal", "no object", "no json"])
def test_a_forged_entry_is_not_believed(settings: Settings, planted: str) -> None:
    async def scenario() -> None:
        async with _process(settings) as here, _process(settings) as other:
            begun = await _begun(here)
            await here.sessions.check(begun.session_id)
            name = f"SESSION:{begun.session_id}"
            entry = json.loads(await here.cache.get(name) or b"")
            match planted:
                case "roles":
                    entry["data"]["roles"] = ["admin"]
                case "user":
                    entry["user_id"] = str(uuid4())
                case "checked":
                    entry["data"]["checked"] = time.time() + 0.001
                case "expires":
                    entry["expires"] = "2999-01-01T00:00:00+00:00"
                case "no seal":
                    del entry["data"]["seal"]
            raw = {"no object": b"[1]", "no json": b"\xff{"}.get(planted) or json.dumps(entry).encode()
            await here.cache.set(name, raw, ttl_ms=60_000)
            assert await other.sessions.check(begun.session_id) == begun

    _play(scenario)


def test_an_entry_of_one_session_does_not_serve_another(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings) as here:
            begun = await _begun(here)
            await here.sessions.check(begun.session_id)
            entry = await here.cache.get(f"SESSION:{begun.session_id}")
            unknown = uuid4()
            await here.cache.set(f"SESSION:{unknown}", entry or b"", ttl_ms=60_000)
            assert await here.sessions.check(unknown) is None

    _play(scenario)


def test_the_first_check_does_not_wait_for_redis(settings: Settings) -> None:
    async def scenario() -> None:
        async with _process(settings, connected=False) as here:
            begun = await _begun(here)
            assert await here.sessions.check(begun.session_id) == begun
            assert not here.cache.connected

    _play(scenario)


def test_a_redis_that_hangs_costs_one_bounded_wait(settings: Settings) -> None:
    async def scenario() -> None:
        hung = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Answers commands of one connection until it hangs."""
            try:
                while data := await reader.read(65_536):
                    if hung.is_set():
                        continue
                    pings = data.count(b"*1\r\n$4\r\nPING") + data.count(b"CLIENT") + data.count(b"GET")
                    writer.write(b"+OK\r\n" * max(1, pings))
                    await writer.drain()
            finally:
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        here = dataclasses.replace(settings, redis_url=f"redis://127.0.0.1:{port}/0")
        async with server, Cache(settings=here) as cache:
            await _connected(cache)
            hung.set()
            began = time.monotonic()
            assert await cache.get("key") is None
            assert time.monotonic() - began < 1
            began = time.monotonic()
            for _ in range(100):
                assert await cache.get("key") is None
            assert time.monotonic() - began < 1

    _play(scenario)


def test_a_cache_that_comes_back_is_used_again(settings: Settings) -> None:
    async def scenario() -> None:
        async with Cache(settings=settings) as cache:
            await _connected(cache)
            await cache._drop(cache._client)
            assert await cache.get("key") is None
            await _connected(cache)
            name = f"test:{uuid4()}"
            await cache.set(name, b"value", ttl_ms=5_000)
            assert await cache.get(name) == b"value"
            await cache.delete(name)
            assert await cache.get(name) is None

    _play(scenario)


def test_only_so_many_sessions_are_remembered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.stores.sessions._REMEMBERED", 2)

    async def scenario() -> None:
        async with _process(settings) as here:
            user_id = await _user(here.database)
            for _ in range(5):
                begun = await here.sessions.start(user_id, "szr_" + uuid4().hex, call=CALL)
                await here.sessions.check(begun.session_id)
            assert len(here.sessions._near) == 2

    _play(scenario)
