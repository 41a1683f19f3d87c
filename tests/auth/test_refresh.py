"""Refresh tokens: each is used once, but for a client whose answer was lost."""

import asyncio
import os
from hashlib import sha256

import pytest

from functions.auth._pair import TokenPair
from functions.auth.refresh import Refresh, refresh
from shared.config import Settings
from shared.errors import Unauthorized
from shared.function import Call
from tests.people import CURL, FIREFOX, Place, at

RACES = int(os.environ.get("SUTAZAI_REFRESH_RACES", "3"))


async def _refresh(here: Place, token: str, call: Call = FIREFOX) -> TokenPair:
    return await refresh(Refresh(refresh_token=token), sessions=here.sessions, tokens=here.tokens, call=call)


async def _reason(here: Place, token: str, call: Call = FIREFOX) -> object:
    with pytest.raises(Unauthorized) as refusal:
        await _refresh(here, token, call)
    return refusal.value.details["reason"]


async def _age(here: Place, seconds: int) -> None:
    await here.database.execute(
        "UPDATE refresh_tokens SET used_at = used_at - make_interval(secs => $1),"
        " issued_at = issued_at - make_interval(secs => $1)",
        seconds,
    )


def test_a_refresh_token_gives_a_new_pair_of_the_same_session(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        first = await here.login("ada")
        second = await _refresh(here, first.refresh_token)
        assert second.refresh_token != first.refresh_token and second.refresh_token.startswith("szr_")
        before, after = await here.caller(first.access_token), await here.caller(second.access_token)
        assert before == after
        assert (await here.acts())[-1] == ("auth.refresh", "done")

    at(settings, scenario)


def test_only_hashes_of_refresh_tokens_are_stored(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        token = (await here.login("ada")).refresh_token
        stored = await here.database.fetchval("SELECT token_hash FROM refresh_tokens")
        assert stored == sha256(token.encode()).digest()

    at(settings, scenario)


def test_the_same_client_that_lost_the_answer_gets_the_same_successor(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        token = (await here.login("ada")).refresh_token
        successors = {(await _refresh(here, token)).refresh_token for _ in range(4)}
        assert len(successors) == 1
        assert await here.database.fetchval("SELECT count(*) FROM refresh_tokens") == 2

    at(settings, scenario)


def test_fifty_at_once_get_one_successor(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        token = (await here.login("ada")).refresh_token
        for _ in range(RACES):
            pairs = await asyncio.gather(*(_refresh(here, token) for _ in range(50)))
            assert len({pair.refresh_token for pair in pairs}) == 1
            unused = await here.database.fetchval("SELECT count(*) FROM refresh_tokens WHERE used_at IS NULL")
            assert unused == 1
            token = pairs[0].refresh_token

    at(settings, scenario)


def test_of_fifty_different_clients_none_keeps_the_session(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        first = await here.login("ada")
        calls = [Call(request_id="r", address=f"192.0.2.{number}", user_agent="x") for number in range(50)]
        outcomes = await asyncio.gather(
            *(_refresh(here, first.refresh_token, call) for call in calls), return_exceptions=True
        )
        assert sum(isinstance(outcome, TokenPair) for outcome in outcomes) <= 1
        assert await here.database.fetchval("SELECT count(*) FROM live_sessions") == 0

    at(settings, scenario)


@pytest.mark.parametrize("thief", [CURL, Call(request_id="r", address="198.51.100.9", user_agent="Firefox")])
def test_reuse_by_another_client_ends_the_family(settings: Settings, thief: Call) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.register("ada")
        first = await here.login("ada")
        second = await _refresh(here, first.refresh_token)
        assert await _reason(here, first.refresh_token, thief) == "token_reused"
        assert await _reason(here, second.refresh_token) == "session_ended"
        assert (await here.events(ada.id))[-1] == "session.revoked.v1"
        assert (await here.acts())[-2:] == [("auth.refresh", "refused")] * 2

    at(settings, scenario)


def test_reuse_after_ten_seconds_ends_the_family(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        first = await here.login("ada")
        second = await _refresh(here, first.refresh_token)
        await _age(here, 11)
        assert await _reason(here, first.refresh_token) == "token_reused"
        assert await _reason(here, second.refresh_token) == "session_ended"

    at(settings, scenario)


def test_reuse_after_the_successor_was_used_ends_the_family(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        first = await here.login("ada")
        second = await _refresh(here, first.refresh_token)
        third = await _refresh(here, second.refresh_token)
        assert await _reason(here, first.refresh_token) == "token_reused"
        assert await _reason(here, third.refresh_token) == "session_ended"

    at(settings, scenario)


def test_reuse_in_one_session_leaves_the_others_alone(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        stolen, other = await here.login("ada"), await here.login("ada")
        await _refresh(here, stolen.refresh_token)
        assert await _reason(here, stolen.refresh_token, CURL) == "token_reused"
        assert (await _refresh(here, other.refresh_token)).access_token

    at(settings, scenario)


def test_a_token_that_lay_unused_for_a_week_is_refused(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        first = await here.login("ada")
        await _age(here, 7 * 86_400 + 1)
        assert await _reason(here, first.refresh_token) == "token_expired"

    at(settings, scenario)


@pytest.mark.parametrize(
    "token", ["", "szr_", "szr_" + "A" * 43, "szr_" + "A" * 42 + "B", "x" * 47, "szr_\0" + "A" * 42]
)
def test_an_unknown_token_is_refused(settings: Settings, token: str) -> None:
    async def scenario(here: Place) -> None:
        assert await _reason(here, token) == "token_invalid"

    at(settings, scenario)


def test_an_access_token_is_no_refresh_token_nor_the_reverse(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        pair = await here.login("ada")
        assert await _reason(here, pair.access_token) == "token_invalid"
        with pytest.raises(Unauthorized):
            await here.caller(pair.refresh_token)

    at(settings, scenario)
