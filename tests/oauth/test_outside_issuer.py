"""Tokens of an issuer elsewhere: whom they let in, and whom not."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.egress import Response
from shared.stores.outside_keys import OutsideKeys
from tests.fakes import FakeEgress
from tests.oauth.house import AGENT, BASE, House, at, served
from tests.people import within_a_second

ISSUER = "https://login.example.org/tenant"
DESCRIBED = "https://login.example.org/.well-known/oauth-authorization-server/tenant"
OPENID = "https://login.example.org/tenant/.well-known/openid-configuration"
JWKS = "https://keys.example.org/jwks"
SUBJECT = "auth0|4711"


@cache
def _keys() -> dict[str, Any]:
    return {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": Ed25519PrivateKey.generate(),
        "stranger": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }


def _jwk(kid: str, **more: object) -> dict[str, Any]:
    algorithm = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[kid]
    found: dict[str, Any] = algorithm.to_jwk(_keys()[kid].public_key(), as_dict=True)  # type: ignore[attr-defined]
    return {**found, "kid": kid, "use": "sig", **more}


def _answers(**changed: Response | Exception) -> dict[str, Response | Exception]:
    keys = {"keys": [_jwk("RS256"), _jwk("ES256"), _jwk("EdDSA"), {"kty": "RSA"}, "x"]}
    found = {
        DESCRIBED: served({"issuer": ISSUER, "jwks_uri": JWKS}, url=DESCRIBED),
        JWKS: served(keys, url=JWKS),
    }
    return {**found, **changed}


def _token(alg: str = "RS256", *, header: dict[str, Any] | None = None, key: str | None = None, **changed: Any) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AGENT,
        "sub": SUBJECT,
        "iat": now,
        "exp": now + 3600,
        "scope": "agents:execute openid",
        **changed,
    }
    headers = {"kid": alg, "typ": "at+jwt", **(header or {})}
    kept = {name: value for name, value in headers.items() if value is not None}
    signed = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(signed, _keys()[key or alg], algorithm=alg, headers=kept)


@dataclass
class Linked:
    house: House
    ada: UUID
    root: dict[str, str] = field(default_factory=dict)

    async def link(self, subject: str = SUBJECT, user_id: UUID | None = None) -> httpx.Response:
        body = {"subject": subject, "user_id": str(user_id or self.ada)}
        return await self.house.http.post("/api/v1/oauth/identities", json=body, headers=self.root)

    async def listed(self) -> list[dict[str, Any]]:
        answer = await self.house.http.get("/api/v1/oauth/identities", headers=self.root)
        found: list[dict[str, Any]] = answer.json()["data"]["identities"]
        return found


def play(
    settings: Settings,
    scenario: Callable[[Linked], Awaitable[None]],
    answers: dict[str, Response | Exception] | None = None,
) -> None:
    async def linked(house: House) -> None:
        ada = await house.here.users.credentials("ada")
        assert ada is not None
        await house.here.admin()
        token = (await house.here.login("root")).access_token
        there = Linked(house, ada.user_id, {"authorization": f"Bearer {token}"})
        assert (await there.link()).status_code == 201
        await scenario(there)

    at(replace(settings, oauth_issuer=ISSUER), linked, _answers() if answers is None else answers)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
def test_whom_the_issuer_knows_and_an_administrator_has_linked_is_let_in(settings: Settings, alg: str) -> None:
    async def scenario(there: Linked) -> None:
        house = there.house
        assert (await house.echo(_token(alg))).status_code == 200
        assert (await house.echo(_token(alg, aud=["https://other.example", AGENT]))).status_code == 200
        assert (await house.echo(_token(alg, scope=None, scp=["agents:execute"]))).status_code == 200
        assert (await house.echo(_token(alg, header={"typ": "JWT"}))).status_code == 200
        # Our own go on working, and those of the issuer open nothing but what they are for.
        assert (await house.echo((await house.here.login("ada")).access_token)).status_code == 200
        assert (await house.me(_token(alg))).status_code == 401
        assert (await house.me(_token(alg, aud=f"{BASE}/api/v1/users/me"))).status_code == 401

    play(settings, scenario)


@pytest.mark.parametrize(
    "token",
    [
        lambda: _token(iss="https://evil.example"),
        lambda: _token(iss=f"{ISSUER}/"),
        lambda: _token(aud=f"{BASE}/mcp/filesystem"),
        lambda: _token(aud=f"{AGENT}/"),
        lambda: _token(aud=None),
        lambda: _token(aud=[]),
        lambda: _token(sub="auth0|stranger"),
        lambda: _token(sub=None),
        lambda: _token(sub="x" * 256),
        lambda: _token(exp=int(time.time()) - 60),
        lambda: _token(exp=None),
        lambda: _token(nbf=int(time.time()) + 600),
        lambda: _token(iat=int(time.time()) + 600),
        lambda: _token(key="stranger"),
        lambda: _token(header={"kid": "unknown"}),
        lambda: _token(header={"kid": None}),
        lambda: _token(header={"kid": "ES256"}),
        lambda: _token(header={"typ": "id+jwt"}),
        lambda: _token(header={"crit": ["exp"]}),
        lambda: jwt.encode({"iss": ISSUER, "aud": AGENT, "sub": SUBJECT, "exp": 9**10}, "", algorithm="none"),
        lambda: jwt.encode(
            {"iss": ISSUER, "aud": AGENT, "sub": SUBJECT, "exp": 9**10},
            _jwk("RS256")["n"],
            algorithm="HS256",
            headers={"kid": "RS256"},
        ),
        lambda: _token() + "A" * 9000,
        lambda: _token()[:-8] + "AAAAAAAA",
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_what_the_issuer_has_not_said_lets_nobody_in(settings: Settings, token: Callable[[], str]) -> None:
    async def scenario(there: Linked) -> None:
        for _ in range(2):
            assert (await there.house.echo(token())).status_code == 401
        assert (await there.house.echo(_token())).status_code == 200

    play(settings, scenario)


def test_scopes_narrow_here_too(settings: Settings) -> None:
    async def scenario(there: Linked) -> None:
        refused = await there.house.echo(_token(scope="agents:read users:admin"))
        assert refused.status_code == 403 and "insufficient_scope" in refused.headers["www-authenticate"]
        await there.house.here.database.execute("UPDATE users SET roles = '{auditor}' WHERE username = 'ada'")

        async def forbidden() -> bool:
            return (await there.house.echo(_token())).status_code == 403

        await within_a_second(forbidden)

    play(settings, scenario)


@pytest.mark.parametrize("end", ["unlinked", "disabled"])
def test_who_is_no_longer_linked_or_is_disabled_is_out_within_a_second(settings: Settings, end: str) -> None:
    async def scenario(there: Linked) -> None:
        house = there.house
        assert (await house.echo(_token())).status_code == 200
        if end == "unlinked":
            [identity] = await there.listed()
            path = f"/api/v1/oauth/identities/{identity['id']}"
            assert (await house.http.delete(path, headers=there.root)).json()["data"] == {"unlinked": True}
            assert (await house.http.delete(path, headers=there.root)).status_code == 404
        else:
            await house.here.database.execute("UPDATE users SET is_active = false WHERE username = 'ada'")

        async def out() -> bool:
            return (await house.echo(_token())).status_code == 401

        await within_a_second(out)

    play(settings, scenario)


def test_administrators_say_who_is_whom(settings: Settings) -> None:
    async def scenario(there: Linked) -> None:
        [identity] = await there.listed()
        assert {**identity, "id": "", "created_at": ""} == {
            "id": "",
            "created_at": "",
            "issuer": ISSUER,
            "subject": SUBJECT,
            "user_id": str(there.ada),
        }
        assert (await there.link()).status_code == 409
        assert (await there.link("other", uuid4())).status_code == 404
        assert (await there.link("two words")).status_code == 400
        assert await there.house.acts() == [
            ("oauth.link_identity", "done"),
            *[("oauth.link_identity", "refused")] * 2,
        ]

    play(settings, scenario)


def test_with_an_outside_issuer_nobody_here_issues_tokens_for_servers(settings: Settings) -> None:
    async def scenario(there: Linked) -> None:
        http = there.house.http
        resource = (await http.get("/.well-known/oauth-protected-resource/mcp/everything")).json()
        assert resource["authorization_servers"] == [ISSUER] and resource["resource"] == AGENT
        assert (await http.get("/.well-known/oauth-authorization-server")).status_code == 404
        assert (await there.house.browser().open(there.house.program().url())).status == 404
        for path in ("authorize", "token", "revoke"):
            body = {"token": "x", "client_id": "x", "grant_type": "refresh_token"}
            assert (await http.post(f"/oauth/{path}", data=body)).status_code == 404
        registered = await http.post("/oauth/register", json={"redirect_uris": ["http://127.0.0.1/"]})
        assert registered.status_code == 404

    play(settings, scenario)


@pytest.mark.parametrize(
    "answers",
    [
        {},
        _answers(**{DESCRIBED: served({"issuer": "https://evil.example", "jwks_uri": JWKS})}),
        _answers(**{DESCRIBED: served({"issuer": ISSUER, "jwks_uri": "http://keys.example.org/jwks"})}),
        _answers(**{DESCRIBED: served([])}),
        _answers(**{DESCRIBED: served(b"x" * 300_000)}),
        _answers(**{JWKS: served({"keys": {}})}),
        _answers(**{JWKS: served({"keys": []}, status=500)}),
        _answers(**{JWKS: Unavailable("not now")}),
    ],
)
def test_without_the_issuers_keys_its_tokens_wait(settings: Settings, answers: dict[str, Response | Exception]) -> None:
    async def scenario(there: Linked) -> None:
        assert (await there.house.echo(_token())).status_code == 503
        assert (await there.house.echo((await there.house.here.login("ada")).access_token)).status_code == 200

    play(settings, scenario, answers)


def test_an_issuer_may_describe_itself_as_openid_does(settings: Settings) -> None:
    described = served({"issuer": ISSUER, "jwks_uri": JWKS}, url=OPENID)
    answers = {OPENID: described, JWKS: _answers()[JWKS]}

    async def scenario(there: Linked) -> None:
        assert (await there.house.echo(_token())).status_code == 200

    play(settings, scenario, answers)


def test_names_of_keys_that_are_made_up_do_not_have_them_fetched_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> list[int]:
        egress, asked, now = FakeEgress(_answers()), [], time.monotonic()
        settings = Settings.read({"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_OAUTH_ISSUER": ISSUER})
        keys = OutsideKeys(settings=settings, egress=egress)
        monkeypatch.setattr("shared.stores.outside_keys.time.monotonic", lambda: now)
        for later in (0, 29, 2, 500, 601):
            now += later
            await asyncio.gather(*(keys.find(f"made-up-{n}", "RS256", "RSA") for n in range(50)))
            assert await keys.find("RS256", "RS256", "RSA") is not None
            asked.append(len(egress.requests))
        return asked

    assert asyncio.run(scenario()) == [2, 2, 4, 6, 8]


def test_known_keys_hold_while_the_issuer_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        answers, now = _answers(), time.monotonic()
        settings = Settings.read({"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_OAUTH_ISSUER": ISSUER})
        keys = OutsideKeys(settings=settings, egress=FakeEgress(answers))
        monkeypatch.setattr("shared.stores.outside_keys.time.monotonic", lambda: now)
        assert await keys.find("RS256", "RS256", "RSA") is not None
        answers[JWKS] = Unavailable("not now")
        now += 10_000
        assert await keys.find("RS256", "RS256", "RSA") is not None
        now += 100
        with pytest.raises(Unavailable):
            await keys.find("unknown", "RS256", "RSA")

    asyncio.run(scenario())


@pytest.mark.parametrize("changed", [{"use": "enc"}, {"alg": "PS256"}, {"kty": "oct", "k": "AAAA"}])
def test_a_key_is_for_what_it_says(tmp_path: Path, changed: dict[str, str]) -> None:
    async def scenario() -> object:
        listed = served({"keys": [_jwk("RS256", **changed)]})
        settings = Settings.read({"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_OAUTH_ISSUER": ISSUER})
        return await OutsideKeys(settings=settings, egress=FakeEgress(_answers(**{JWKS: listed}))).find(
            "RS256", "RS256", "RSA"
        )

    assert asyncio.run(scenario()) is None
