"""Plays tests/security/sockets.yaml over the served functions."""

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import functions.realtime._entrance
import shared.stores.tokens
from shared.config import Settings
from tests.people import FIREFOX
from tests.realtime.served import House, Socket, at_home

CASES = yaml.safe_load(Path(__file__).with_name("sockets.yaml").read_text())
_STATE = """
SELECT array_agg(t::text ORDER BY t::text) FROM (
    SELECT 'task', user_id::text, id::text, status, version::text FROM agent_executions
    UNION ALL SELECT 'session', user_id::text, id::text, '', '' FROM live_sessions
    UNION ALL SELECT 'user', id::text, roles::text, is_active::text, tier FROM users
    UNION ALL SELECT 'audit', actor, action, object, outcome FROM audit_log) t
"""
_LONG = re.compile(r"(\d+)(x|\[)")


async def _known(house: House, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    ada, bob = await house.person("ada"), await house.person("bob")
    eve, root = await house.person("eve", "auditor"), await house.person("root", "admin")
    fred, gone, off = await house.person("fred", tier="free"), await house.login(ada.user_id), await house.person("off")
    await house.sessions.end(ada.user_id, gone.session_id, action="auth.logout")
    await house.users.set_access(off.user_id, actor=root.user_id, roles=None, is_active=False)
    [task_id] = await house.submit(ada)
    refresh = house.tokens.new_refresh()
    await house.sessions.start(ada.user_id, refresh, call=FIREFOX)
    with monkeypatch.context() as patch:
        patch.setattr(shared.stores.tokens, "LIFETIME_S", 0)
        expired = await house.login(ada.user_id)
    header, payload, _ = ada.token.split(".")
    signed = Ed25519PrivateKey.generate().sign(f"{header}.{payload}".encode())
    return {
        **{name: one.token for name, one in {"ada": ada, "bob": bob, "eve": eve, "root": root, "fred": fred}.items()},
        "ended": gone.token,
        "disabled": off.token,
        "expired": expired.token,
        "refresh": refresh,
        "ada_id": str(ada.user_id),
        "bob_id": str(bob.user_id),
        "ada_task": str(task_id),
        "http": house.http,
        "forged": f"{header}.{payload}.{base64.urlsafe_b64encode(signed).decode().rstrip('=')}",
        "unsigned": f"{header}.{payload}.",
    }


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        text = Template(value).safe_substitute(known)
        return _LONG.sub(lambda found: found[2] * int(found[1]), text) if _LONG.fullmatch(text) else text
    if isinstance(value, dict):
        return {key: _filled(part, known) for key, part in value.items()}
    return [_filled(part, known) for part in value] if isinstance(value, list) else value


async def _send(socket: Socket, step: Mapping[str, Any]) -> None:
    [(kind, what)] = step.items()
    if kind == "frame":
        await socket.wire.send(json.dumps(what))
    elif kind == "text":
        await socket.wire.send(what)
    elif kind == "binary":
        await socket.wire.send(what.encode())
    elif kind == "raw":
        socket.wire.transport.write(bytes.fromhex(what))
    elif kind == "fragments":
        await socket.wire.send(_nothing(what))
    else:
        for _ in range(what.pop("count") - 1):
            await _send(socket, dict(what))
        await _send(socket, what)


async def _nothing(count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield ""


@asynccontextmanager
async def _opened(house: House, case: Mapping[str, Any], known: Mapping[str, str]) -> AsyncIterator[Socket]:
    how = _filled(case.get("open", {}), known)
    address = house.ws.removesuffix("/ws") + how.get("path", "/ws")
    options = {"origin": how.get("origin"), "additional_headers": how.get("headers")}
    async with AsyncExitStack() as stack:
        if how.get("again"):
            await stack.enter_async_context(_authenticated(house.ws, known[case["as"]]))
        wire = await stack.enter_async_context(connect(address, proxy=None, compression=None, **options))
        socket = Socket(wire)
        if "as" in case:
            await socket.send(type="auth", token=known[case["as"]])
            if case.get("closed") != 4429:
                assert (await socket.next())["type"] == "ready"
        yield socket


@asynccontextmanager
async def _authenticated(address: str, token: str) -> AsyncIterator[Socket]:
    async with connect(address, proxy=None) as wire:
        socket = Socket(wire)
        assert (await socket.ask(type="auth", token=token))["type"] == "ready"
        yield socket


def _holds(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(_holds(part, found.get(key)) for key, part in expected.items())
    return bool(expected == found)


async def _play(house: House, case: Mapping[str, Any], known: Mapping[str, str]) -> None:
    if "status" in case:
        with pytest.raises(InvalidStatus) as refused:
            async with _opened(house, case, known):
                raise AssertionError("it opened")
        assert refused.value.response.status_code == case["status"]
        return
    async with _opened(house, case, known) as socket:
        for step in case.get("send", ()):
            await _send(socket, _filled(step, known))
        if "closed" in case:
            code, reason = await socket.closed()
            assert code == case["closed"], (code, reason)
            assert not [secret for name, secret in known.items() if name != "http" and secret in reason]
            return
        for expected in case["answers"]:
            answer = await socket.next()
            assert _holds(expected, answer), answer
        await socket.send(type="ping")
        frames = await socket.until(lambda frame: frame["type"] == "pong")
        assert {frame["type"] for frame in frames} <= {"pong", "error"}, frames


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_sockets(settings: Settings, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(functions.realtime._entrance, "FIRST_FRAME_S", 1.0)

    async def scenario(house: House) -> None:
        known = await _known(house, monkeypatch)
        before = await house.database.fetchval(_STATE)
        await _play(house, case, known)
        async with _authenticated(house.ws, known["bob"]) as other:
            assert await other.ask(type="ping") == {"type": "pong"}
        assert await house.database.fetchval(_STATE) == before

    at_home(settings, scenario, within_s=30)


def test_the_corpus_has_its_size() -> None:
    assert len({case["name"] for case in CASES}) == len(CASES) >= 60
