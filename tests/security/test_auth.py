"""Plays tests/security/auth.yaml over the served functions, and every role over every route."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import yaml
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.catalog import load, modules
from shared.config import Settings
from shared.crypto import signing_seeds
from shared.function import Http, Spec
from shared.identity import KEY_SCOPES, SCOPES, scopes_of
from shared.ports.api_keys import ApiKeys
from shared.ports.idempotency import Idempotency
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.ports.users import Registration, Role, Users
from shared.serve import App
from shared.stores.key_text import new_key
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.people import FIREFOX, PASSWORD

CASES = yaml.safe_load(Path(__file__).with_name("auth.yaml").read_text())
PEOPLE: dict[str, Role] = {
    "ada": "user",
    "bob": "user",
    "root": "admin",
    "eve": "auditor",
    "otto": "operator",
}

# What none of the calls may change, as one value.
_STATE = """
SELECT array_agg(t::text ORDER BY t::text) FROM (
    SELECT 'user', id::text, email_index::text, username, password_hash, full_name, preferences::text,
           roles::text, is_active::text FROM users
    UNION ALL SELECT 'session', id::text, user_id::text, '', '', '', '', '', '' FROM live_sessions
    UNION ALL SELECT 'key', id::text, user_id::text, scopes::text, expires_at::text, '', '', '', '' FROM api_keys
    UNION ALL SELECT 'token', session_id::text, token_hash::text, used_at::text, '', '', '', '', ''
              FROM refresh_tokens
) t"""


@dataclass(frozen=True)
class _House:
    """Five people, each logged in, and the functions served."""

    client: httpx.AsyncClient
    database: Database
    tokens: Tokens
    keys_dir: Path
    known: Mapping[str, str]

    async def acts(self) -> list[str]:
        rows = await self.database.fetch("SELECT action, outcome FROM audit_log ORDER BY id")
        return [f"{row['action']} {row['outcome']}" for row in rows]


@cache
def _specs() -> tuple[Spec, ...]:
    found = (load(name) for name in modules() if name.startswith(("functions.auth.", "functions.users.")))
    return tuple(spec for spec in found if isinstance(spec.trigger, Http))


@cache
def _password_hash() -> str:
    return PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)


@asynccontextmanager
async def _house(settings: Settings) -> AsyncIterator[_House]:
    async with Ports(settings) as ports:
        users, sessions, tokens = (
            await ports.open(Users),
            await ports.open(Sessions),
            await ports.open(Tokens),
        )
        known = {"password": PASSWORD, "huge": "x" * 10_000}
        for name, role in PEOPLE.items():
            new = Registration(
                email=f"{name}@example.org", username=name, password_hash=_password_hash(), roles=(role,)
            )
            user = await users.register(new)
            refresh_token = tokens.new_refresh()
            session = await sessions.start(user.id, refresh_token, call=FIREFOX)
            access = tokens.issue(
                user_id=user.id,
                session_id=session.session_id,
                roles=session.roles,
                scopes=scopes_of(session.roles),
            )
            known |= {
                name: str(user.id),
                f"{name}_session": str(session.session_id),
                f"{name}_access": access.text,
                f"{name}_refresh": refresh_token,
                f"{name}_refresh_hash": hashlib.sha256(refresh_token.encode()).hexdigest(),
            }
        known |= await _keys(await ports.open(ApiKeys), await ports.open(Database), known)
        app = App(_specs(), settings=settings, overrides={Idempotency: object()})
        transport = httpx.ASGITransport(app=app)
        async with app.running(), httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            yield _House(client, await ports.open(Database), tokens, settings.keys_dir, known)


async def _keys(keys: ApiKeys, database: Database, known: Mapping[str, str]) -> dict[str, str]:
    """By `<person>_key` and its id, and some of ada's that are no use any more."""
    found = {"unknown_key": new_key()}
    own = frozenset({"profile:read", "tasks:read"})
    for label, name, scopes in (
        ("ada", "ada", own),
        ("bob", "bob", own),
        ("root", "root", KEY_SCOPES),
        # More than ada's role gives, as if that had been another once.
        ("widened", "ada", KEY_SCOPES),
        ("everything", "ada", SCOPES["admin"]),
        ("expired", "ada", own),
        ("deleted", "ada", own),
    ):
        made = await keys.create(UUID(known[name]), name=label, scopes=scopes, expires_at=None)
        found |= {f"{label}_key": made.key, f"{label}_key_id": str(made.id)}
    await database.execute(
        "UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = $1", UUID(found["expired_key_id"])
    )
    await keys.delete(UUID(known["ada"]), UUID(found["deleted_key_id"]))
    key = found["ada_key"]
    other = "0" if key[20] != "0" else "1"
    return {
        **found,
        "cut_key": key[:-1],
        "cut_short_key": key[:-6],
        "long_key": key + "0",
        "mistyped_key": key[:20] + other + key[21:],
        "hash_of_key": hashlib.sha256(key.encode()).hexdigest(),
    }


def _in_house(settings: Settings, scenario: Callable[[_House], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(60), _house(settings) as house:
            await scenario(house)

    asyncio.run(play())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _merged(right: dict[str, Any], changed: Mapping[str, Any], known: Mapping[str, str]) -> bytes:
    for name, value in changed.items():
        if isinstance(value, str) and value[:1] in ("+", "-") and value[1:].isdigit():
            right[name] = int(time.time()) + int(value)
        else:
            right[name] = Template(value).safe_substitute(known) if isinstance(value, str) else value
    return json.dumps({name: value for name, value in right.items() if value is not None}).encode()


def _signature(sign: str, signed: bytes, keys_dir: Path, published: Mapping[str, str]) -> bytes:
    ours = Ed25519PrivateKey.from_private_bytes(signing_seeds(keys_dir)[0])
    public = ours.public_key()
    secrets = {
        "hmac with the raw public key": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "hmac with the pem public key": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "hmac with the published x": published["x"].encode(),
        "hmac with nothing": b"",
    }
    if sign in secrets:
        # As long as one of Ed25519, so that it is not refused for its length alone.
        digest = hmac.new(secrets[sign], signed, hashlib.sha256).digest()
        return digest + digest
    signers = {"us": ours.sign, "a stranger": Ed25519PrivateKey.generate().sign, "nobody": _unsigned}
    return signers[sign](signed)


def _unsigned(_: bytes) -> bytes:
    return b""


def _forged(case: Mapping[str, Any], house: _House) -> str:
    published = house.tokens.public_keys()["keys"][0]
    now = int(time.time())
    claims = {
        "iss": "https://sutazai.local",
        "aud": "sutazai",
        "sub": house.known["ada"],
        "sid": house.known["ada_session"],
        "jti": str(uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "roles": ["user"],
        "scope": "users:me",
    }
    right = {"alg": "EdDSA", "kid": published["kid"], "typ": "at+jwt"}
    header = _base64(_merged(right, case.get("header", {}), house.known))
    payload = _base64(_merged(claims, case.get("claims", {}), house.known))
    signed = f"{header}.{payload}".encode()
    signature = _base64(_signature(case.get("sign", "us"), signed, house.keys_dir, published))
    token = f"{header}.{payload}.{signature}"
    match case.get("raw", "{token}"):
        case "respelled":
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
        case "long":
            return token + "A" * 8_000
        case raw:
            return str(raw).format(token=token, header=header, payload=payload, signature=signature)


@pytest.mark.parametrize("case", CASES["tokens"], ids=[case["name"] for case in CASES["tokens"]])
def test_tokens(settings: Settings, case: dict[str, Any]) -> None:
    async def scenario(house: _House) -> None:
        before = await house.database.fetchval(_STATE)
        value = case.get("authorization", "Bearer {raw}").format(raw=_forged(case, house))
        # Twice: what is remembered of the first answer must not make the second another.
        for _ in range(2):
            answer = await house.client.get("/api/v1/users/me", headers={"Authorization": value})
            if "reason" not in case:
                assert answer.status_code == 200 and answer.json()["data"]["id"] == house.known["ada"]
                continue
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (401, "UNAUTHORIZED"), error
            assert error["details"]["reason"] == case["reason"], error
            assert ("expired_at" in error["details"]) == (case["reason"] == "token_expired")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        assert await house.database.fetchval(_STATE) == before

    _in_house(settings, scenario)


@pytest.mark.parametrize("case", CASES["calls"], ids=[case["name"] for case in CASES["calls"]])
def test_calls(settings: Settings, case: dict[str, Any]) -> None:
    async def scenario(house: _House) -> None:
        before = await house.database.fetchval(_STATE)
        method, path, body = (*case["send"], None)[:3]
        text = body if isinstance(body, str) else json.dumps(body)
        content = Template(text).safe_substitute(house.known).encode() if body is not None else None
        url = Template(path).safe_substitute(house.known)
        headers = {"Authorization": f"Bearer {house.known[case['as'] + '_access']}"} if "as" in case else {}
        if "key" in case:
            headers["X-API-Key"] = Template(case["key"]).safe_substitute(house.known)
        for _ in range(case.get("times", 1)):
            acts = await house.acts()
            answer = await house.client.request(
                method,
                url if url.startswith("/") else f"/api/v1/{url}",
                content=content,
                headers={**headers, "User-Agent": "Firefox"},
            )
        assert answer.status_code == case["status"], answer.text
        assert answer.json()["success"] is False
        if "reason" in case:
            assert answer.json()["error"]["details"]["reason"] == case["reason"]
        for secret in ("password", "huge", "ada_refresh", "ada_access", "ada_key", "root_key"):
            assert house.known[secret] not in answer.text
        assert (await house.acts())[len(acts) :] == case.get("audit", [])
        assert await house.database.fetchval(_STATE) == before

    _in_house(settings, scenario)


@pytest.mark.parametrize("person", [*PEOPLE, "nobody"])
@pytest.mark.parametrize("spec", _specs(), ids=lambda spec: spec.name)
def test_every_route_lets_in_those_whose_role_has_its_scope(settings: Settings, spec: Spec, person: str) -> None:
    async def scenario(house: _House) -> None:
        headers = {} if person == "nobody" else {"Authorization": f"Bearer {house.known[person + '_access']}"}
        # A body that no function takes: whoever gets past the gate is told so, and changes nothing.
        path = spec.http.path.format(user_id="x", session_id="x", key_id="x")
        answer = await house.client.request(
            spec.http.method, f"{path}?unknown=1", content=b'{"unknown": 1}', headers=headers
        )
        if spec.http.scope is None:
            allowed = True
        elif person == "nobody":
            allowed = False
            assert answer.status_code == 401
        else:
            allowed = spec.http.scope in SCOPES[PEOPLE[person]]
            assert (answer.status_code == 403) == (not allowed)
        if allowed:
            assert answer.status_code in (200, 400)

    _in_house(settings, scenario)


def test_there_are_at_least_eighty_cases() -> None:
    assert len(CASES["tokens"]) >= 80 and len(CASES["calls"]) >= 80
