"""From a program's question to its tokens, and what becomes of them."""

import asyncio
import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from functions.auth.refresh import Refresh, refresh
from shared.config import Settings
from shared.errors import Unauthorized
from shared.identity import KEY_SCOPES
from tests.oauth.house import AGENT, BASE, CALLBACK, DESCRIPTION, House, at, document, served
from tests.people import CURL, FIREFOX, PASSWORD, within_a_second


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_a_user_lets_a_program_in_which_then_calls_the_server_it_asked_for(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        page = await house.browser().open(program.url())
        assert page.status == 200
        for shown in ("Example", "app.example.org", "127.0.0.1:3000", AGENT, "agents:execute"):
            assert shown in page.answer.text, shown
        decided = await house.browser().send(page, name="ada@example.org", password=PASSWORD)
        assert decided.location.startswith(f"{CALLBACK}?")
        assert {**decided.sent, "code": ""} == {"code": "", "state": program.state, "iss": BASE}
        answer = await program.redeem(decided.sent["code"])
        body = answer.json()
        assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
        assert body.keys() == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
        assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 600, "agents:execute")
        claims = _claims(body["access_token"])
        assert (claims["iss"], claims["aud"], claims["client_id"]) == (BASE, AGENT, DESCRIPTION)
        assert (claims["scope"], claims["roles"]) == ("agents:execute", [])
        assert (await house.echo(body["access_token"])).status_code == 200
        assert await house.acts() == [("oauth.decide_consent", "done"), ("oauth.issue_token", "done")]

    at(settings, scenario)


def test_a_token_for_one_server_opens_nothing_else(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        token = (await house.tokens(house.program()))["access_token"]
        refused = await house.me(token)
        assert (refused.status_code, refused.json()["error"]["details"]) == (401, {"reason": "token_invalid"})
        other = (await house.tokens(house.program(resource=f"{BASE}/mcp/filesystem")))["access_token"]
        answer = await house.echo(other)
        assert answer.status_code == 401 and 'error="invalid_token"' in answer.headers["www-authenticate"]
        # One that is remembered by now at the one server is not let in at another.
        assert (await house.echo(token)).status_code == 200
        assert (await house.echo(token, base="http://localhost:10008")).status_code == 401

    at(settings, scenario)


def test_a_program_that_names_no_resource_gets_a_token_for_all_servers(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        tokens = await house.tokens(house.program(resource=None))
        assert _claims(tokens["access_token"])["aud"] == BASE
        assert (await house.echo(tokens["access_token"])).status_code == 200
        assert (await house.me(tokens["access_token"])).status_code == 401

    at(settings, scenario)


@pytest.mark.parametrize(
    "said", [f"{BASE}/", BASE.upper().replace("HTTP", "HTTP"), "HTTP://127.0.0.1:10008/mcp/everything"]
)
def test_a_resource_may_be_spelt_otherwise_and_is_then_spelt_right(settings: Settings, said: str) -> None:
    async def scenario(house: House) -> None:
        program = house.program(resource=said)
        answer = await program.redeem(await house.code(program), resource=None)
        audience = _claims(answer.json()["access_token"])["aud"]
        assert audience == said.lower().removesuffix("/")
        assert (await house.echo(answer.json()["access_token"])).status_code == 200

    at(settings, scenario)


def test_our_own_tokens_go_on_working_at_the_servers(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        token = (await house.here.login("ada")).access_token
        assert (await house.echo(token)).status_code == 200
        assert (await house.me(token)).status_code == 200

    at(settings, scenario)


def test_a_refresh_token_gives_a_new_pair_and_its_second_use_ends_the_session(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        first = await house.tokens(program)
        second = (await program.refresh(first["refresh_token"])).json()
        assert second["refresh_token"] != first["refresh_token"]
        claims, renewed = _claims(first["access_token"]), _claims(second["access_token"])
        assert {name: claims[name] for name in ("sub", "sid", "aud", "iss", "scope", "client_id")} == {
            name: renewed[name] for name in ("sub", "sid", "aud", "iss", "scope", "client_id")
        }
        third = (await program.refresh(second["refresh_token"])).json()
        reused = await program.refresh(first["refresh_token"])
        assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")
        last = await program.refresh(third["refresh_token"])
        assert (last.status_code, last.json()["error"]) == (400, "invalid_grant")

        async def out() -> bool:
            return (await house.echo(third["access_token"])).status_code == 401

        await within_a_second(out)

    at(settings, scenario)


def test_many_refreshes_at_once_have_one_successor(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        first = await house.tokens(program)
        answers = await asyncio.gather(*(program.refresh(first["refresh_token"]) for _ in range(20)))
        found = {answer.json().get("refresh_token") for answer in answers if answer.status_code == 200}
        assert len(found) == 1

    at(settings, scenario)


def test_a_client_without_refresh_tokens_has_a_session_as_long_as_its_token(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        tokens = await house.tokens(house.program())
        assert tokens.keys() == {"access_token", "token_type", "expires_in", "scope"}
        left = await house.here.database.fetchval(
            "SELECT extract(epoch FROM max(expires_at - now())) FROM sessions JOIN oauth_sessions ON session_id = id"
        )
        assert 590 < left <= 600

    at(settings, scenario, {DESCRIPTION: served(document(grant_types=["authorization_code"]))})


def test_the_two_kinds_of_refresh_tokens_are_not_taken_for_one_another(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        mine = await house.tokens(program)
        request = Refresh(refresh_token=mine["refresh_token"])
        with pytest.raises(Unauthorized) as refusal:
            await refresh(request, sessions=house.here.sessions, tokens=house.here.tokens, call=FIREFOX)
        assert refusal.value.details["reason"] == "token_invalid"
        login = await house.here.login("ada")
        answer = await program.refresh(login.refresh_token, resource=None)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
        # Neither attempt has used anything up.
        assert (await program.refresh(mine["refresh_token"])).status_code == 200
        again = Refresh(refresh_token=login.refresh_token)
        await refresh(again, sessions=house.here.sessions, tokens=house.here.tokens, call=FIREFOX)

    at(settings, scenario)


def test_a_refresh_may_ask_for_less_and_never_for_more(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        both = "agents:execute agents:read"
        tokens = await house.tokens(program, scope=both)
        assert tokens["scope"] == both
        more = await program.refresh(tokens["refresh_token"], scope=f"{both} tasks:read")
        assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")
        less = (await program.refresh(tokens["refresh_token"], scope="agents:read")).json()
        assert (less["scope"], _claims(less["access_token"])["scope"]) == ("agents:read", "agents:read")
        refused = await house.echo(less["access_token"])
        assert refused.status_code == 403
        challenge = refused.headers["www-authenticate"]
        assert challenge == (
            'Bearer error="insufficient_scope", scope="agents:execute", '
            f'resource_metadata="{BASE}/.well-known/oauth-protected-resource/mcp/everything"'
        )
        whole = (await program.refresh(less["refresh_token"])).json()
        assert whole["scope"] == both and (await house.echo(whole["access_token"])).status_code == 200

    at(settings, scenario)


def test_scopes_narrow_what_the_user_may_do(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        asked = " ".join(sorted(KEY_SCOPES))
        granted = set((await house.tokens(house.program(), scope=f"{asked} users:admin openid"))["scope"].split())
        assert "agents:execute" in granted and granted < KEY_SCOPES
        assert not granted & {"audit:read", "dead_letters:read", "sessions:own", "users:admin", "api_keys:own"}
        await house.here.database.execute("UPDATE users SET roles = '{auditor}' WHERE username = 'bob'")
        refused = (await house.browser().agree(house.program().url(), "bob")).sent
        assert refused["error"] == "invalid_scope" and "code" not in refused

    at(settings, scenario)


def test_what_a_user_may_no_more_do_their_programs_may_not_either(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        token = (await house.tokens(house.program()))["access_token"]
        await house.here.database.execute("UPDATE users SET roles = '{auditor}' WHERE username = 'ada'")

        async def forbidden() -> bool:
            return (await house.echo(token)).status_code == 403

        await within_a_second(forbidden)

    at(settings, scenario)


def test_programs_appear_among_the_sessions_with_their_names_and_can_be_ended(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        tokens = await house.tokens(house.program())
        found = {session["client"]: session for session in await house.sessions()}
        assert found.keys() == {None, "Example (app.example.org)"}
        theirs = found["Example (app.example.org)"]["id"]
        login = (await house.here.login("ada", call=CURL)).access_token
        bearer = {"authorization": f"Bearer {login}"}
        ended = await house.http.delete(f"/api/v1/auth/sessions/{theirs}", headers=bearer)
        assert ended.json()["data"] == {"ended": 1}

        async def out() -> bool:
            return (await house.echo(tokens["access_token"])).status_code == 401

        await within_a_second(out)
        assert (await house.program().refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"

    at(settings, scenario)


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_a_client_gives_back_what_it_was_granted(settings: Settings, which: str) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        tokens = await house.tokens(program)
        stranger = await program.ask("/oauth/revoke", token=tokens[which], client_id="https://other.example/c.json")
        assert (stranger.status_code, stranger.json()) == (200, {})
        assert (await house.echo(tokens["access_token"])).status_code == 200
        for _ in range(2):
            revoked = await program.ask("/oauth/revoke", token=tokens[which], client_id=DESCRIPTION)
            assert (revoked.status_code, revoked.json()) == (200, {})

        async def out() -> bool:
            return (await house.echo(tokens["access_token"])).status_code == 401

        await within_a_second(out)
        assert (await house.acts())[2:3] == [("oauth.revoke_token", "done")]

    at(settings, scenario)


def test_a_user_says_no_and_the_program_is_told(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program, browser = house.program(), house.browser()
        denied = await browser.send(await browser.open(program.url()), "deny")
        assert denied.sent == {
            "error": "access_denied",
            "error_description": "the user has said no",
            "state": program.state,
            "iss": BASE,
        }
        assert await house.acts() == [("oauth.decide_consent", "refused")]

    at(settings, scenario)


def test_a_wrong_password_shows_the_page_again_and_leads_nowhere(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program, browser = house.program(), house.browser()
        wrong = await browser.agree(program.url(), "ada", "not-it")
        assert (wrong.status, wrong.alert) == (403, "the name or the password is wrong")
        assert wrong.form.fields["name"] == "ada" and wrong.form.fields["password"] == ""
        assert "not-it" not in wrong.answer.text
        assert "code" in (await browser.send(wrong, name="ada", password=PASSWORD)).sent
        assert ("auth.login", "refused") in await house.here.acts()

    at(settings, scenario)


def test_guessing_at_the_consent_page_is_slowed_down_as_everywhere(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program, browser = house.program(), house.browser()
        page = await browser.open(program.url())
        seen = [(await browser.send(page, name="ada", password="wrong")).status for _ in range(12)]
        assert seen[:10] == [403] * 10 and 429 in seen[10:]

    at(settings, scenario)


def test_a_disabled_user_gets_no_code(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        code = await house.code(program)
        await house.here.database.execute("UPDATE users SET is_active = false WHERE username = 'ada'")
        late = await program.redeem(code)
        assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")
        refused = await house.browser().agree(program.url())
        assert (refused.status, refused.alert) == (403, "the account is disabled")

    at(settings, scenario)


def test_a_client_without_a_url_registers_and_is_known_by_what_its_id_says(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        said = {"client_name": "A tool", "redirect_uris": [CALLBACK], "grant_types": ["authorization_code"]}
        answer = await house.http.post("/oauth/register", json={**said, "software_id": "x", "jwks": {"keys": []}})
        registered = answer.json()
        assert answer.status_code == 201
        assert {**registered, "client_id": ""} == {
            **said,
            "client_id": "",
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        program = house.program(client_id=registered["client_id"])
        page = await house.browser().open(program.url())
        assert "A tool" in page.answer.text and "nobody has checked it" in page.answer.text
        tokens = await house.tokens(program)
        assert (await house.echo(tokens["access_token"])).status_code == 200
        assert "A tool (127.0.0.1:3000)" in {session["client"] for session in await house.sessions()}
        assert house.egress.requests == []

    at(settings, scenario)


def test_what_a_program_held_goes_with_its_user(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        tokens = await house.tokens(program)
        code = await house.code(program)
        user = await house.here.users.credentials("ada")
        assert user is not None and await house.here.admin()
        assert await house.here.users.erase(user.user_id)
        for table in ("oauth_sessions", "oauth_codes"):
            assert await house.here.database.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert (await program.redeem(code)).json()["error"] == "invalid_grant"
        assert (await program.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"

    at(settings, scenario)


def test_nothing_that_lets_anyone_in_lies_in_the_record(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        code = await house.code(program)
        tokens = (await program.redeem(code)).json()
        rows = await house.here.database.fetch(
            "SELECT t::text AS text FROM oauth_codes t UNION ALL SELECT t::text FROM oauth_sessions t "
            "UNION ALL SELECT t::text FROM refresh_tokens t UNION ALL SELECT t::text FROM audit_log t"
        )
        written = "\n".join(row["text"] for row in rows)
        for secret in (code, program.verifier, tokens["access_token"], tokens["refresh_token"]):
            assert secret not in written and secret.encode().hex() not in written

    at(settings, scenario)
