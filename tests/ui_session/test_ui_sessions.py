"""How a browser gets its cookie, and what the UI's server gets for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from functions.auth.logout import logout
from functions.ui_session.close_ui_session import CloseUiSession, close_ui_session
from functions.ui_session.create_ui_code import create_ui_code
from functions.ui_session.exchange_ui_session import ExchangeUiSession, UiToken, exchange_ui_session
from functions.ui_session.open_ui_session import OpenUiSession, open_ui_session
from shared.config import Settings
from shared.crypto import ui_key
from shared.errors import Unauthorized
from shared.function import Call, Caller
from shared.ports.ui_sessions import UiSessions
from shared.wiring import Ports
from tests.people import FIREFOX, Place, at

UI = "http://127.0.0.1:11000"
PAGE = replace(FIREFOX, origin=UI)


class Browser:
    """Someone who is logged in, and the UI's server that serves them."""

    def __init__(self, here: Place, ui_sessions: UiSessions, settings: Settings) -> None:
        self.here = here
        self.ui_sessions = ui_sessions
        self.key = ui_key(settings.keys_dir).hex()

    async def login(self, name: str = "ada") -> Caller:
        await self.here.register(name)
        return await self.here.caller((await self.here.login(name)).access_token)

    async def code(self, caller: Caller) -> str:
        return (await create_ui_code(caller=caller, ui_sessions=self.ui_sessions)).code

    async def cookie(self, code: str, call: Call = PAGE) -> str:
        reply = await open_ui_session(OpenUiSession(code=code), ui_sessions=self.ui_sessions, call=call)
        return dict(reply.headers)["Set-Cookie"]

    async def handle(self, caller: Caller) -> str:
        return (await self.cookie(await self.code(caller))).partition("=")[2].partition(";")[0]

    async def token(self, handle: str, key: str | None = None) -> UiToken:
        asked = ExchangeUiSession(handle=handle, ui_key=self.key if key is None else key)
        return await exchange_ui_session(asked, ui_sessions=self.ui_sessions, tokens=self.here.tokens)

    async def refused(self, asking: Awaitable[object]) -> str:
        with pytest.raises(Unauthorized) as refusal:
            await asking
        return str(refusal.value.details["reason"])


def play(settings: Settings, scenario: Callable[[Browser], Awaitable[None]]) -> None:
    settings = replace(settings, ui_origins=frozenset({UI, "https://ui.example.org"}))

    async def with_port(here: Place) -> None:
        async with Ports(settings) as ports:
            await scenario(Browser(here, await ports.open(UiSessions), settings))

    at(settings, with_port)


def test_a_cookie_is_exchanged_for_tokens_of_the_session_that_was_logged_in(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        caller = await browser.login()
        handle = await browser.handle(caller)
        for _ in range(2):
            token = await browser.token(handle)
            assert (token.token_type, token.expires_in) == ("bearer", 600)
            again = await browser.here.caller(token.access_token)
            assert (again.user_id, again.session_id) == (caller.user_id, caller.session_id)
        assert (await browser.here.acts())[-4:] == [
            ("auth.create_ui_code", "done"),
            ("auth.open_ui_session", "done"),
            *[("auth.exchange_ui_session", "done")] * 2,
        ]

    play(settings, scenario)


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        caller = await browser.login()
        value, *flags = (await browser.cookie(await browser.code(caller))).split("; ")
        assert value.startswith("sutazai_ui=") and len(value) == len("sutazai_ui=") + 43
        assert flags[1:] == ["Path=/", "HttpOnly", "SameSite=Strict"]
        assert 29 * 86_400 < int(flags[0].removeprefix("Max-Age=")) <= 30 * 86_400

    play(settings, scenario)


def test_over_https_the_cookie_is_for_https_only(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        call = replace(FIREFOX, origin="https://ui.example.org")
        reply = await close_ui_session(CloseUiSession(), ui_sessions=browser.ui_sessions, call=call)
        expected = "sutazai_ui=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure"
        assert dict(reply.headers) == {
            "Set-Cookie": expected,
            "Access-Control-Allow-Origin": "https://ui.example.org",
            "Access-Control-Allow-Credentials": "true",
            "Vary": "Origin",
        }

    play(settings, scenario)


def test_a_code_is_used_once_however_many_try_at_once(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        code = await browser.code(await browser.login())
        tries = await asyncio.gather(*(browser.cookie(code) for _ in range(20)), return_exceptions=True)
        assert len([cookie for cookie in tries if isinstance(cookie, str)]) == 1
        assert all(isinstance(cookie, str | Unauthorized) for cookie in tries)

    play(settings, scenario)


def test_a_code_that_is_half_a_minute_old_opens_nothing(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        code = await browser.code(await browser.login())
        await browser.here.database.execute("UPDATE ui_sessions SET code_expires_at = now() - interval '1 ms'")
        assert await browser.refused(browser.cookie(code)) == "code_invalid"

    play(settings, scenario)


@pytest.mark.parametrize("origin", [None, "null", "http://127.0.0.1:11001", "https://127.0.0.1:11000", f"{UI}.evil"])
def test_only_the_pages_of_the_ui_may_open_and_close(settings: Settings, origin: str | None) -> None:
    async def scenario(browser: Browser) -> None:
        code = await browser.code(await browser.login())
        call = replace(FIREFOX, origin=origin)
        assert await browser.refused(browser.cookie(code, call)) == "origin"
        closing = close_ui_session(CloseUiSession(), ui_sessions=browser.ui_sessions, call=call)
        assert await browser.refused(closing) == "origin"
        assert await browser.cookie(code)

    play(settings, scenario)


def test_a_handle_is_worth_nothing_without_the_key_of_the_ui(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        handle = await browser.handle(await browser.login())
        acts = await browser.here.acts()
        for key in ("", "0" * 64, browser.key.upper(), "\xe9"):
            assert await browser.refused(browser.token(handle, key)) == "ui_key_invalid"
        assert await browser.here.acts() == acts

    play(settings, scenario)


def test_a_handle_that_nobody_was_given_is_refused(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        assert await browser.refused(browser.token("x" * 43)) == "session_ended"
        assert (await browser.here.acts())[-1] == ("auth.exchange_ui_session", "refused")

    play(settings, scenario)


def test_logging_out_ends_the_handle_at_once(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        caller = await browser.login()
        handle = await browser.handle(caller)
        await logout(caller=caller, sessions=browser.here.sessions)
        assert await browser.refused(browser.token(handle)) == "session_ended"

    play(settings, scenario)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE users SET is_active = false",
        "UPDATE sessions SET expires_at = now()",
        "UPDATE sessions SET last_used_at = now() - interval '7 days'",
        "DELETE FROM users",
    ],
)
def test_a_handle_ends_with_its_user_and_its_session(settings: Settings, change: str) -> None:
    async def scenario(browser: Browser) -> None:
        handle = await browser.handle(await browser.login())
        await browser.here.database.execute(change)
        assert await browser.refused(browser.token(handle)) == "session_ended"

    play(settings, scenario)


def test_a_new_code_voids_the_handle_before_it(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        caller = await browser.login()
        handle = await browser.handle(caller)
        await browser.code(caller)
        assert await browser.refused(browser.token(handle)) == "session_ended"

    play(settings, scenario)


def test_neither_code_nor_handle_is_stored(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        caller = await browser.login()
        code = await browser.code(caller)
        handle = (await browser.cookie(code)).partition("=")[2].partition(";")[0]
        stored = await browser.here.database.fetch(
            "SELECT t::text FROM ui_sessions t UNION SELECT t::text FROM audit_log t"
        )
        for row in stored:
            for secret in (code, handle):
                assert secret not in row[0] and secret.encode().hex() not in row[0]

    play(settings, scenario)


def test_each_session_has_its_own_handle(settings: Settings) -> None:
    async def scenario(browser: Browser) -> None:
        first = await browser.login()
        second = await browser.here.caller((await browser.here.login("ada")).access_token)
        handles = [await browser.handle(caller) for caller in (first, second)]
        tokens = [(await browser.token(handle)).access_token for handle in handles]
        found = [(await browser.here.caller(token)).session_id for token in tokens]
        assert found == [first.session_id, second.session_id]

    play(settings, scenario)
