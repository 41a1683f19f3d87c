"""The caller's own sessions: listed, ended one by one, all others, and by logging out."""

from uuid import uuid4

import pytest

from functions.auth.end_other_sessions import end_other_sessions
from functions.auth.end_session import EndSession, end_session
from functions.auth.get_jwks import get_jwks
from functions.auth.list_sessions import list_sessions
from functions.auth.logout import logout
from functions.auth.refresh import Refresh, refresh
from shared.config import Settings
from shared.errors import Forbidden, NotFound, Unauthorized
from shared.function import Caller
from shared.identity import SCOPES, authorize, scopes_of
from tests.people import CURL, FIREFOX, Place, at, place, within_a_second


async def _refused(here: Place, access_token: str) -> object:
    with pytest.raises(Unauthorized) as refusal:
        await here.caller(access_token)
    return refusal.value.details["reason"]


def test_logging_out_ends_the_session_here_at_once_and_elsewhere_within_a_second(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.register("ada")
        pair = await here.login("ada")
        async with place(settings) as elsewhere:
            await elsewhere.caller(pair.access_token)
            caller = await here.caller(pair.access_token)
            assert (await logout(caller=caller, sessions=here.sessions)).ended == 1
            assert await _refused(here, pair.access_token) == "session_ended"
            await within_a_second(lambda: elsewhere.is_out(caller.session_id))
        with pytest.raises(Unauthorized):
            await refresh(
                Refresh(refresh_token=pair.refresh_token),
                sessions=here.sessions,
                tokens=here.tokens,
                call=FIREFOX,
            )
        assert await here.events(ada.id) == ["user.registered.v1", "session.revoked.v1"]
        assert ("auth.logout", "done") in await here.acts()

    at(settings, scenario)


def test_sessions_are_listed_with_where_they_are_and_which_one_asks(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        await here.login("ada", call=CURL)
        caller = await here.caller((await here.login("ada")).access_token)
        listed = (await list_sessions(caller=caller, sessions=here.sessions)).sessions
        assert [(one.user_agent, one.address, one.current) for one in listed] == [
            ("Firefox", "192.0.2.7", True),
            ("curl", "198.51.100.9", False),
        ]

    at(settings, scenario)


def test_one_session_is_ended_and_the_other_goes_on(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        lost, kept = await here.login("ada", call=CURL), await here.login("ada")
        target = (await here.caller(lost.access_token)).session_id
        caller = await here.caller(kept.access_token)
        answer = await end_session(EndSession(session_id=target), caller=caller, sessions=here.sessions)
        assert answer.ended == 1
        assert await _refused(here, lost.access_token) == "session_ended"
        assert (await here.caller(kept.access_token)).session_id == caller.session_id

    at(settings, scenario)


def test_the_session_of_another_user_is_not_found_and_lives_on(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada, bob = await here.registered_caller("ada"), await here.registered_caller("bob")
        for target in (bob.session_id, uuid4()):
            with pytest.raises(NotFound):
                await end_session(EndSession(session_id=target), caller=ada, sessions=here.sessions)
        assert await here.sessions.check(bob.session_id)
        assert (await here.acts())[-1] == ("auth.end_session", "refused")

    at(settings, scenario)


def test_all_other_sessions_are_ended(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        bob = await here.registered_caller("bob")
        others = [await here.login("ada") for _ in range(3)]
        caller = await here.caller((await here.login("ada")).access_token)
        assert (await end_other_sessions(caller=caller, sessions=here.sessions)).ended == 3
        for pair in others:
            assert await _refused(here, pair.access_token) == "session_ended"
        assert await here.sessions.check(caller.session_id) and await here.sessions.check(bob.session_id)

    at(settings, scenario)


def test_the_published_keys_are_a_key_set(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        (key,) = (await get_jwks(tokens=here.tokens)).keys
        assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("OKP", "Ed25519", "EdDSA", "sig")

    at(settings, scenario)


def test_every_role_but_the_administrators_lacks_the_administration_of_users() -> None:
    assert [role for role, scopes in SCOPES.items() if "users:admin" in scopes] == ["admin"]
    assert SCOPES["admin"] == frozenset().union(*SCOPES.values())


def test_an_auditor_changes_nothing_but_their_own_account() -> None:
    assert {scope for scope in SCOPES["auditor"] if not scope.endswith(":read")} == {
        "users:me",
        "sessions:own",
    }


def test_an_unknown_role_gives_nothing() -> None:
    assert scopes_of(frozenset({"root", "", "ADMIN"})) == frozenset()


def test_a_scope_that_no_role_gives_is_refused() -> None:
    caller = Caller(
        user_id=uuid4(), session_id=uuid4(), roles=frozenset({"user"}), scopes=scopes_of(frozenset({"user"}))
    )
    authorize(caller, "users:me")
    with pytest.raises(Forbidden, match="users:admin"):
        authorize(caller, "users:admin")
