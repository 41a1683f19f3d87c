"""The page that asks: what it shows, whom it believes, and that nobody can make it say yes."""

from dataclasses import replace
from html import unescape

import pytest

from shared.config import Settings
from shared.crypto import ui_key
from shared.ports.ui_sessions import UiSessions
from shared.wiring import Ports
from tests.oauth.house import BASE, CALLBACK, DESCRIPTION, WEB_CALLBACK, House, at, document, served
from tests.people import PASSWORD


async def _handle(house: House, name: str = "ada") -> str:
    """What is in the cookie of a browser that is signed in to the UI, whose server could use it."""
    async with Ports(house.settings) as ports:
        ui_sessions = await ports.open(UiSessions)
        caller = await house.here.caller((await house.here.login(name)).access_token)
        handle, _ = await ui_sessions.open(await ui_sessions.offer(caller.user_id, caller.session_id))
        session = await ui_sessions.exchange(handle, ui_key(house.settings.keys_dir).hex())
    assert session.session_id == caller.session_id
    return handle


def test_the_page_has_no_script_stands_in_no_frame_and_loads_nothing(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        page = await house.browser().open(house.program().url())
        headers = page.answer.headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy.pop("style-src").startswith("'sha256-")
        assert policy == {
            "default-src": "'none'",
            "form-action": "'self' http://127.0.0.1:3000",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }
        assert (headers["x-frame-options"], headers["referrer-policy"]) == ("DENY", "same-origin")
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert headers["content-type"] == "text/html; charset=utf-8" and "set-cookie" not in headers
        assert page.form.tags.isdisjoint({"script", "img", "iframe", "link", "object"})
        assert page.form.action == "/oauth/authorize"
        for field in ("name", "password"):
            assert f'<label for="{field}">' in page.answer.text and f'id="{field}"' in page.answer.text

    at(settings, scenario)


def test_what_a_client_says_of_itself_is_shown_and_never_obeyed(settings: Settings) -> None:
    evil = '"><script>alert(1)</script>&amp;<b>'

    async def scenario(house: House) -> None:
        page = await house.browser().open(house.program().url(state=evil, scope="agents:execute <script>"))
        assert page.form.tags.isdisjoint({"script", "b"})
        assert page.form.fields["state"] == evil and evil in unescape(page.answer.text)

    at(settings, scenario, {DESCRIPTION: served(document(client_name=evil))})


def test_a_program_on_this_machine_comes_with_a_warning(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        browser, warning = house.browser(), "any program can say that it is this one"
        assert warning in (await browser.open(house.program().url())).answer.text
        page = await browser.open(house.program(redirect_uri=WEB_CALLBACK).url())
        assert page.status == 200 and warning not in page.answer.text
        assert "form-action 'self' https://app.example.org;" in page.answer.headers["content-security-policy"]

    at(settings, scenario)


def test_a_cookie_of_the_ui_signs_nobody_in(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        handle = await _handle(house)
        browser = house.browser(cookies=f"theme=dark; sutazai_ui={handle}")
        page = await browser.open(house.program().url())
        assert (page.status, page.form.fields["name"], page.form.fields["password"]) == (200, "", "")
        for name, password in (("", ""), ("ada", ""), ("ada", handle)):
            refused = await browser.send(page, name=name, password=password)
            assert (refused.status, refused.alert) == (403, "the name or the password is wrong")
        assert await house.acts() == []
        await browser.send(page, "deny")
        line = await house.here.database.fetchrow("SELECT actor, action, outcome FROM audit_log ORDER BY id DESC")
        assert line is not None and tuple(line) == ("anonymous", "oauth.decide_consent", "refused")

    at(settings, scenario)


def test_a_grant_is_theirs_whose_password_it_was_whatever_cookie_came_along(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program, browser = house.program(), house.browser(cookies=f"sutazai_ui={await _handle(house)}")
        sent = (await browser.agree(program.url(), "bob")).sent
        assert (await program.redeem(sent["code"])).status_code == 200
        assert "Example (app.example.org)" in {one["client"] for one in await house.sessions("bob")}
        assert "Example (app.example.org)" not in {one["client"] for one in await house.sessions("ada")}

    at(settings, scenario)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://127.0.0.1:11000", "https://evil.example", "http://localhost:10008", ""]
)
def test_no_page_but_our_own_decides(settings: Settings, origin: str | None) -> None:
    async def scenario(house: House) -> None:
        browser = house.browser()
        page = await browser.open(house.program().url())
        browser.origin = origin
        for decision in ("allow", "deny"):
            refused = await browser.send(page, decision, name="ada", password=PASSWORD)
            assert refused.status == 403 and "location" not in refused.answer.headers
        assert await house.acts() == []

    at(settings, scenario)


@pytest.mark.parametrize(
    "changed",
    [
        {"scope": "agents:execute tasks:write"},
        {"resource": f"{BASE}/mcp"},
        {"redirect_uri": WEB_CALLBACK},
        {"state": "another"},
        {"code_challenge": "A" * 43},
        {"seal": ""},
        {"seal": f"9999999999.{'0' * 64}"},
    ],
)
def test_what_was_not_shown_is_not_decided(settings: Settings, changed: dict[str, str]) -> None:
    async def scenario(house: House) -> None:
        browser = house.browser()
        page = await browser.open(house.program().url())
        refused = await browser.send(page, **{"name": "ada", "password": PASSWORD, **changed})
        assert refused.status == 403 and refused.alert.startswith("This page has lain too long")
        assert await house.acts() == []

    at(settings, scenario)


@pytest.mark.parametrize(
    "changed, error",
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "openid offline_access"}, "invalid_scope"),
        ({"scope": "sessions:own"}, "invalid_scope"),
        ({"resource": "https://evil.example/mcp"}, "invalid_target"),
    ],
)
def test_a_wrong_question_is_shown_and_nobody_is_sent_on_unasked(
    settings: Settings, changed: dict[str, str | None], error: str
) -> None:
    async def scenario(house: House) -> None:
        program = house.program()
        page = await house.browser().open(program.url(**changed))
        assert page.status == 400 and "location" not in page.answer.headers
        link = unescape(page.answer.text.split('<a href="')[1].split('"')[0])
        assert link.startswith(f"{CALLBACK}?error={error}&") and f"state={program.state}" in link
        assert f"iss={BASE.replace(':', '%3A').replace('/', '%2F')}" in link

    at(settings, scenario)


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": None},
        {"client_id": "https://unknown.example/c.json"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1:3000/callback/../evil"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
def test_there_is_no_way_to_who_is_not_known(settings: Settings, changed: dict[str, str | None]) -> None:
    async def scenario(house: House) -> None:
        page = await house.browser().open(house.program().url(**changed))
        assert page.status == 400 and "<a " not in page.answer.text and "location" not in page.answer.headers
        assert "form-action 'none'" in page.answer.headers["content-security-policy"]

    at(settings, scenario)


def test_a_browser_that_calls_us_otherwise_is_sent_nowhere(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        answer = await house.http.get(house.program().url(), headers={"host": "evil.example"})
        assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")

    at(settings, scenario)


def test_behind_a_public_url_the_page_is_on_that_url(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        program = house.program(resource="https://agents.example.org/mcp")
        browser = house.browser(origin="https://agents.example.org")
        sent = (await browser.agree(program.url())).sent
        assert sent["iss"] == "https://agents.example.org"
        assert (await program.redeem(sent["code"])).status_code == 200

    at(replace(settings, public_url="https://agents.example.org"), scenario)
