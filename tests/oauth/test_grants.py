"""What is granted, in a real PostgreSQL: codes for one use, sessions, and what ends them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.config import Settings
from shared.errors import Invalid, Unauthorized
from shared.ports.oauth import Asked, Client, Grant, Grants
from shared.wiring import Ports
from tests.people import CURL, FIREFOX, Place, at

CLIENT = Client(
    client_id="https://app.example.org/client.json",
    name="Example",
    redirect_uris=("https://app.example.org/callback",),
    refreshes=True,
    host="app.example.org",
)
ASKED = Asked(
    client=CLIENT,
    redirect_uri=CLIENT.redirect_uris[0],
    challenge=sha256(b"verifier").digest(),
    scopes=frozenset({"agents:execute"}),
    resource="https://agents.example.org/mcp",
    issuer="https://agents.example.org",
)


@dataclass(frozen=True)
class Office:
    here: Place
    grants: Grants
    ada: UUID

    async def code(self, asked: Asked = ASKED) -> str:
        return await self.grants.offer(self.ada, asked)

    async def redeem(self, code: str, **changed: Any) -> Grant:
        said: dict[str, Any] = {
            "client_id": CLIENT.client_id,
            "redirect_uri": ASKED.redirect_uri,
            "challenge": ASKED.challenge,
            "resource": ASKED.resource,
            "refresh_token": self.here.tokens.new_refresh(),
            "call": FIREFOX,
            **changed,
        }
        return await self.grants.redeem(code, **said)

    async def lives(self, grant: Grant) -> bool:
        query = "SELECT EXISTS (SELECT FROM live_sessions WHERE id = $1)"
        return bool(await self.here.database.fetchval(query, grant.session.session_id))

    async def acts(self) -> list[tuple[str, str]]:
        return [act for act in await self.here.acts() if act[0].startswith("oauth.")]


def play(settings: Settings, scenario: Callable[[Office], Awaitable[None]]) -> None:
    async def with_port(here: Place) -> None:
        ada = await here.register("ada")
        async with Ports(settings) as ports:
            await scenario(Office(here, await ports.open(Grants), ada.id))

    at(settings, with_port)


def test_a_code_becomes_a_session_with_what_was_granted(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        grant = await office.redeem(await office.code(), refresh_token="szr_x")
        assert (grant.scopes, grant.resource, grant.issuer) == (ASKED.scopes, ASKED.resource, ASKED.issuer)
        assert (grant.session.user_id, grant.refresh_token) == (office.ada, "szr_x")
        assert await office.lives(grant)
        lines = await office.here.database.fetch("SELECT actor, object FROM audit_log ORDER BY id DESC LIMIT 2")
        assert [(line["actor"], line["object"]) for line in lines] == [
            (f"user:{office.ada}", f"session:{grant.session.session_id}"),
            (f"user:{office.ada}", f"client:app.example.org resource={ASKED.resource} scopes=agents:execute"),
        ]

    play(settings, scenario)


def test_of_many_who_redeem_one_code_at_once_one_gets_a_session_and_then_nobody_has_it(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        code = await office.code()
        found = await asyncio.gather(*(office.redeem(code) for _ in range(20)), return_exceptions=True)
        grants = [one for one in found if isinstance(one, Grant)]
        assert len(grants) == 1 and all(isinstance(one, Grant | Invalid) for one in found)
        assert not await office.lives(grants[0])
        assert await office.here.events(office.ada) == ["user.registered.v1", "session.revoked.v1"]
        assert sorted(await office.acts()) == [
            ("oauth.decide_consent", "done"),
            ("oauth.issue_token", "done"),
            *[("oauth.issue_token", "refused")] * 19,
        ]

    play(settings, scenario)


@pytest.mark.parametrize(
    "changed, named",
    [
        ({"client_id": "https://evil.example/client.json"}, "invalid_grant"),
        ({"client_id": ""}, "invalid_grant"),
        ({"redirect_uri": "https://app.example.org/callback/"}, "invalid_grant"),
        ({"redirect_uri": ""}, "invalid_grant"),
        ({"challenge": sha256(b"guess").digest()}, "invalid_grant"),
        ({"challenge": b""}, "invalid_grant"),
        ({"resource": "https://agents.example.org/mcp/everything"}, "invalid_target"),
    ],
)
def test_a_code_that_was_shown_with_the_wrong_proof_is_used_up(
    settings: Settings, changed: dict[str, Any], named: str
) -> None:
    async def scenario(office: Office) -> None:
        code = await office.code()
        for said, error in ((changed, named), ({}, "invalid_grant")):
            with pytest.raises(Invalid) as refusal:
                await office.redeem(code, **said)
            assert refusal.value.details == {"error": error}
        assert await office.here.database.fetchval("SELECT count(*) FROM sessions") == 0
        assert await office.acts() == [("oauth.decide_consent", "done"), *[("oauth.issue_token", "refused")] * 2]

    play(settings, scenario)


def test_a_code_is_good_for_a_minute(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        age = "UPDATE oauth_codes SET expires_at = expires_at - make_interval(secs => $1)"
        code = await office.code()
        await office.here.database.execute(age, 58.0)
        await office.redeem(code)
        late = await office.code()
        await office.here.database.execute(age, 60.0)
        with pytest.raises(Invalid):
            await office.redeem(late)

    play(settings, scenario)


def test_codes_of_yesterday_are_forgotten_with_the_next(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        for _ in range(3):
            await office.code()
        await office.here.database.execute("UPDATE oauth_codes SET expires_at = now() - interval '25 hours'")
        await office.code()
        assert await office.here.database.fetchval("SELECT count(*) FROM oauth_codes") == 1

    play(settings, scenario)


def test_nobody_gets_a_code_for_a_user_who_is_none(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        with pytest.raises(Unauthorized):
            await office.grants.offer(uuid4(), ASKED)
        await office.here.database.execute("UPDATE users SET is_active = false")
        with pytest.raises(Unauthorized):
            await office.code()
        assert await office.acts() == [("oauth.decide_consent", "refused")] * 2

    play(settings, scenario)


def test_a_refresh_token_is_its_clients_own(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        token = office.here.tokens.new_refresh()
        grant = await office.redeem(await office.code(), refresh_token=token)
        successor = office.here.tokens.next_refresh(token)
        with pytest.raises(Unauthorized) as refusal:
            await office.grants.rotate(token, successor, client_id="https://evil.example/c.json", call=FIREFOX)
        assert refusal.value.details["reason"] == "token_invalid"
        assert await office.grants.held(token, client_id="https://evil.example/c.json") is None
        held = await office.grants.held(token, client_id=CLIENT.client_id)
        assert held is not None and held.session_id == grant.session.session_id
        renewed = await office.grants.rotate(token, successor, client_id=CLIENT.client_id, call=FIREFOX)
        assert renewed == replace(grant, refresh_token=successor)

    play(settings, scenario)


def test_a_client_that_lost_the_answer_may_ask_again_and_a_thief_ends_it(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        token = office.here.tokens.new_refresh()
        grant = await office.redeem(await office.code(), refresh_token=token)
        successor = office.here.tokens.next_refresh(token)
        for _ in range(2):
            again = await office.grants.rotate(token, successor, client_id=CLIENT.client_id, call=FIREFOX)
            assert again.refresh_token == successor
        with pytest.raises(Unauthorized) as refusal:
            await office.grants.rotate(token, successor, client_id=CLIENT.client_id, call=CURL)
        assert refusal.value.details["reason"] == "token_reused"
        assert not await office.lives(grant)

    play(settings, scenario)


def test_a_name_is_shown_with_where_it_comes_from(settings: Settings) -> None:
    async def scenario(office: Office) -> None:
        registered = replace(CLIENT, client_id="szc_x", name="Example", host="")
        loopback = replace(ASKED, client=registered, redirect_uri="http://127.0.0.1:3000/callback")
        await office.redeem(await office.code())
        code = await office.code(loopback)
        await office.redeem(code, client_id="szc_x", redirect_uri=loopback.redirect_uri)
        sessions = await office.here.sessions.of(office.ada, current=uuid4())
        assert {one.client for one in sessions} == {"Example (app.example.org)", "Example (127.0.0.1:3000)"}

    play(settings, scenario)
