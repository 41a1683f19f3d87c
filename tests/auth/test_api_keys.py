"""API keys: shown once, narrower than their owner, and gone within a second."""

import asyncio
import dataclasses
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from functions.auth.create_api_key import CreateApiKey, create_api_key
from functions.auth.delete_api_key import DeleteApiKey, delete_api_key
from functions.auth.list_api_keys import list_api_keys
from shared.catalog import all_functions
from shared.config import Settings
from shared.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from shared.function import Caller, Http, Spec
from shared.identity import KEY_SCOPES, SCOPES, authenticate_key
from shared.ports.api_keys import ApiKeys, NewApiKey
from shared.serve import App
from shared.stores.key_text import is_key, new_key
from shared.stores.postgres import api_keys as module
from shared.wiring import Ports
from tests.people import Place, at, place, within_a_second

FORM = re.compile(r"sz_[0-9A-Za-z]{49}")


@cache
def _routes() -> tuple[Spec, ...]:
    packages = ("functions.auth.", "functions.users.")
    return tuple(
        spec for spec in all_functions() if isinstance(spec.trigger, Http) and spec.module.startswith(packages)
    )


@dataclasses.dataclass(frozen=True)
class _Office:
    """A place with keys, and its functions over HTTP."""

    here: Place
    keys: ApiKeys
    client: httpx.AsyncClient

    async def caller(self, name: str) -> Caller:
        return await self.here.registered_caller(name)

    async def key(self, caller: Caller, *scopes: str, name: str = "robot", **more: Any) -> NewApiKey:
        request = CreateApiKey(name=name, scopes=list(scopes) or ["profile:read", "tasks:read"], **more)
        return await create_api_key(request, caller=caller, keys=self.keys)

    async def get(self, path: str, key: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers={"X-API-Key": key, **headers})

    async def is_refused(self, key: str) -> bool:
        return (await self.get("/users/me", key)).status_code == 401


def _in_office(settings: Settings, scenario: Callable[[_Office], Awaitable[None]]) -> None:
    @asynccontextmanager
    async def office() -> AsyncIterator[_Office]:
        app = App(_routes(), settings=settings)
        transport = httpx.ASGITransport(app=app)
        async with (
            place(settings) as here,
            Ports(settings) as ports,
            app.running(),
            httpx.AsyncClient(transport=transport, base_url="http://here/api/v1") as client,
        ):
            yield _Office(here, await ports.open(ApiKeys), client)

    async def bounded() -> None:
        async with asyncio.timeout(60), office() as opened:
            await scenario(opened)

    asyncio.run(bounded())


def test_a_key_lets_its_owner_in_and_is_shown_once(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        ada = await office.caller("ada")
        made = await office.key(ada)
        assert FORM.fullmatch(made.key) and made.hint == made.key[:7] and made.key not in repr(made)
        answer = await office.get("/users/me", made.key)
        assert (answer.status_code, answer.json()["data"]["username"]) == (200, "ada")
        (listed,) = (await list_api_keys(caller=ada, keys=office.keys)).api_keys
        assert listed.model_dump(exclude={"last_used_at"}) == made.model_dump(exclude={"key", "last_used_at"})
        assert listed.scopes == ("profile:read", "tasks:read") and listed.expires_at is None
        assert made.key not in (await office.get("/users/me", made.key)).text
        assert (await office.here.acts())[-1] == ("auth.create_api_key", "done")

    _in_office(settings, scenario)


def test_nothing_that_is_stored_lets_anyone_in(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        made = await office.key(await office.caller("ada"))
        row = await office.here.database.fetchrow("SELECT * FROM api_keys")
        assert row is not None and row["key_hash"] == sha256(made.key.encode()).digest()
        audit = await office.here.database.fetch("SELECT object FROM audit_log")
        for text in (str(dict(row)), str([line["object"] for line in audit])):
            assert made.key[7:] not in text
        assert await office.is_refused(row["key_hash"].hex())

    _in_office(settings, scenario)


def test_a_key_may_no_more_than_it_was_given(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        ada = await office.caller("ada")
        made = await office.key(ada, "tasks:read")
        caller = await authenticate_key(made.key, keys=office.keys)
        assert (caller.user_id, caller.session_id) == (ada.user_id, made.id) and caller.scopes == {"tasks:read"}
        answer = await office.get("/users/me", made.key)
        error = answer.json()["error"]
        assert (answer.status_code, error["details"]) == (403, {"scope": "profile:read"})

    _in_office(settings, scenario)


@pytest.mark.parametrize("spec", _routes(), ids=lambda spec: spec.name)
def test_no_key_manages_keys_sessions_passwords_or_users(settings: Settings, spec: Spec) -> None:
    async def scenario(office: _Office) -> None:
        root = await office.here.admin()
        access = (await office.here.login("root")).access_token
        made = await office.key(await office.here.caller(access), *sorted(KEY_SCOPES))
        # As if an earlier version had given it everything: what keys are not for stays shut.
        await office.here.database.execute("UPDATE api_keys SET scopes = $1", sorted(SCOPES["admin"]))
        path = re.sub(r"\{\w+\}", str(root.id), spec.http.path)
        answer = await office.client.request(
            spec.http.method, f"http://here{path}", headers={"X-API-Key": made.key}, content=b'{"unknown": 1}'
        )
        if spec.http.scope is None:
            assert answer.status_code in (200, 400)
        elif spec.http.scope == "profile:read":
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["error"]["details"]) == (403, {"scope": spec.http.scope})

    _in_office(settings, scenario)


@pytest.mark.parametrize(
    "scopes, error",
    [
        (["users:admin"], Forbidden),
        (["agents:operate"], Forbidden),
        (["api_keys:own"], Forbidden),
        (["sessions:own"], Forbidden),
        (["users:me"], Forbidden),
        (["tasks:read", "audit:read"], Forbidden),
        (["tasks:*"], Invalid),
        (["TASKS:READ"], Invalid),
        ([""], Invalid),
    ],
)
def test_nobody_gives_a_key_what_is_not_theirs_to_give(
    settings: Settings, scopes: list[str], error: type[Exception]
) -> None:
    async def scenario(office: _Office) -> None:
        ada = await office.caller("ada")
        with pytest.raises(error):
            await office.key(ada, *scopes)
        assert (await list_api_keys(caller=ada, keys=office.keys)).api_keys == ()

    _in_office(settings, scenario)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["tasks:read"]},
        {"name": "x" * 101, "scopes": ["tasks:read"]},
        {"name": "a\nb", "scopes": ["tasks:read"]},
        {"name": "a", "scopes": []},
        {"name": "a"},
        {"name": "a", "scopes": ["tasks:read"] * 65},
        {"name": "a", "scopes": "tasks:read"},
        {"name": "a", "scopes": ["tasks:read"], "expires_at": "2999-01-01T00:00:00"},
        {"name": "a", "scopes": ["tasks:read"], "expires_at": 4102444800},
        {"name": "a", "scopes": ["tasks:read"], "user_id": str(UUID(int=1))},
        {"name": "a", "scopes": ["tasks:read"], "key": "sz_mine"},
    ],
)
def test_what_is_no_request_for_a_key_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CreateApiKey.model_validate_json(json.dumps(body))


def test_a_key_ends_when_it_said_it_would(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        ada = await office.caller("ada")
        with pytest.raises(Invalid):
            await office.key(ada, expires_at=datetime.now(UTC) - timedelta(seconds=1))
        made = await office.key(ada, expires_at=datetime.now(UTC) + timedelta(seconds=1))
        assert not await office.is_refused(made.key)
        async with asyncio.timeout(3):
            while not await office.is_refused(made.key):
                await asyncio.sleep(0.02)
        assert made.expires_at is not None and datetime.now(UTC) >= made.expires_at
        assert datetime.now(UTC) - made.expires_at < timedelta(seconds=1)

    _in_office(settings, scenario)


@pytest.mark.parametrize("way", ["deleted", "owner disabled", "owner erased", "role lost"])
def test_every_way_to_end_a_key_holds_within_a_second(settings: Settings, way: str) -> None:
    async def scenario(office: _Office) -> None:
        root, ada = await office.here.admin(), await office.caller("ada")
        await office.here.users.set_access(ada.user_id, actor=root.id, roles=("operator",), is_active=None)
        login = await office.here.login("ada")
        ada = await office.here.caller(login.access_token)
        made = await office.key(ada, "profile:read", "agents:operate")
        assert not await office.is_refused(made.key)
        match way:
            case "deleted":
                await delete_api_key(DeleteApiKey(key_id=made.id), caller=ada, keys=office.keys)
                assert (await office.here.acts())[-1] == ("auth.delete_api_key", "done")
            case "owner disabled":
                await office.here.users.set_access(ada.user_id, actor=root.id, roles=None, is_active=False)
            case "owner erased":
                await office.here.users.erase(ada.user_id)
            case "role lost":
                await office.here.users.set_access(ada.user_id, actor=root.id, roles=("user",), is_active=None)

        async def has_ended() -> bool:
            if way != "role lost":
                return await office.is_refused(made.key)
            caller = await authenticate_key(made.key, keys=office.keys)
            return caller.scopes == {"profile:read"} and caller.roles == {"user"}

        await within_a_second(has_ended)
        if way == "deleted":
            with pytest.raises(NotFound):
                await delete_api_key(DeleteApiKey(key_id=made.id), caller=ada, keys=office.keys)

    _in_office(settings, scenario)


def test_another_users_key_is_not_found_and_stays(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        ada, bob = await office.caller("ada"), await office.caller("bob")
        made = await office.key(ada)
        assert (await list_api_keys(caller=bob, keys=office.keys)).api_keys == ()
        with pytest.raises(NotFound):
            await delete_api_key(DeleteApiKey(key_id=made.id), caller=bob, keys=office.keys)
        assert (await office.here.acts())[-1] == ("auth.delete_api_key", "refused")
        assert not await office.is_refused(made.key)

    _in_office(settings, scenario)


def test_a_token_and_a_key_together_let_nobody_in(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        await office.caller("ada")
        access = (await office.here.login("ada")).access_token
        made = await office.key(await office.here.caller(access))
        for authorization in (f"Bearer {access}", "Bearer x", ""):
            answer = await office.get("/users/me", made.key, authorization=authorization)
            details = answer.json()["error"]["details"]
            assert (answer.status_code, details) == (401, {"reason": "two_credentials"})
        twice = [("X-API-Key", made.key), ("X-API-Key", made.key)]
        assert (await office.client.get("/users/me", headers=twice)).status_code == 400

    _in_office(settings, scenario)


def test_a_key_travels_in_its_own_header_only(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        made = await office.key(await office.caller("ada"))
        for headers in ({"Authorization": f"Bearer {made.key}"}, {"Authorization": made.key}, {"Cookie": made.key}):
            assert (await office.client.get("/users/me", headers=headers)).status_code == 401
        for query in (f"api_key={made.key}", f"X-API-Key={made.key}"):
            assert (await office.client.get(f"/users/me?{query}")).status_code == 401

    _in_office(settings, scenario)


def test_nobody_has_more_than_a_hundred_live_keys(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.MOST_KEYS == 100
    monkeypatch.setattr(module, "MOST_KEYS", 5)

    async def scenario(office: _Office) -> None:
        ada, bob = await office.caller("ada"), await office.caller("bob")
        soon = datetime.now(UTC) + timedelta(seconds=60)
        made = await asyncio.gather(*(office.key(ada, expires_at=soon) for _ in range(9)), return_exceptions=True)
        assert sum(isinstance(each, NewApiKey) for each in made) == 5
        assert sum(isinstance(each, Conflict) for each in made) == 4
        await office.key(bob)
        await office.here.database.execute(
            "UPDATE api_keys SET expires_at = now() WHERE id = $1",
            next(each.id for each in made if isinstance(each, NewApiKey)),
        )
        await office.key(ada)
        assert len((await list_api_keys(caller=ada, keys=office.keys)).api_keys) == 5

    _in_office(settings, scenario)


def test_the_last_use_is_noted_at_most_once_a_minute(settings: Settings) -> None:
    async def scenario(office: _Office) -> None:
        ada = await office.caller("ada")
        made = await office.key(ada)
        query = "SELECT last_used_at FROM api_keys WHERE id = $1"

        async def noted() -> bool:
            await office.get("/users/me", made.key)
            return await office.here.database.fetchval(query, made.id) is not None

        await within_a_second(noted)
        first = await office.here.database.fetchval(query, made.id)
        async with asyncio.timeout(5):
            # Looked up anew, and so noted if a note were due.
            for _ in range(3):
                await asyncio.sleep(module.FRESH_S)
                await office.get("/users/me", made.key)
        assert await office.here.database.fetchval(query, made.id) == first
        await office.here.database.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
        before = await office.here.database.fetchval(query, made.id)

        async def noted_again() -> bool:
            await office.get("/users/me", made.key)
            return bool(await office.here.database.fetchval(query, made.id) > before)

        await within_a_second(noted_again)

    _in_office(settings, scenario)


def test_only_so_many_keys_are_remembered(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)

    async def scenario(office: _Office) -> None:
        ada = await office.caller("ada")
        for _ in range(4):
            made = await office.key(ada)
            assert await office.keys.check(made.key) is not None
        assert isinstance(office.keys, module.PostgresApiKeys) and len(office.keys._near) == 2

    _in_office(settings, scenario)


def test_made_up_keys_are_told_without_asking_the_record(settings: Settings) -> None:
    here = dataclasses.replace(settings, postgres_url="postgresql://nowhere.invalid/x")

    async def scenario(_: Place) -> None:
        async with Ports(here) as ports:
            keys = await ports.open(ApiKeys)
            right = new_key()
            for text in (
                "",
                "sz_",
                right[:-1],
                right + "0",
                right.swapcase(),
                f"{right}\n",
                right.replace("sz_", "xz_"),
            ):
                assert await keys.check(text) is None
            with pytest.raises(Unauthorized, match="not valid"):
                await authenticate_key("sz_\0", keys=keys)

    at(settings, scenario)


@given(st.integers(3, 51), st.sampled_from("0123456789ABCxyz_\u0660"))
def test_one_wrong_character_is_seen(position: int, character: str) -> None:
    key = new_key()
    assert is_key(key) and FORM.fullmatch(key)
    other = key[:position] + character + key[position + 1 :]
    assert is_key(other) == (other == key)


def test_keys_differ() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000
