"""Argon2id in a small pool, and which passwords it refuses."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from shared.errors import Invalid, RateLimited
from shared.stores import passwords as module
from shared.stores.passwords import Argon2Passwords

T = TypeVar("T")
GOOD = "violet-Harbour-93-lamp"


def _with_passwords(scenario: Callable[[Argon2Passwords], Awaitable[T]]) -> T:
    async def play() -> T:
        async with asyncio.timeout(60), Argon2Passwords() as passwords:
            return await scenario(passwords)

    return asyncio.run(play())


def test_a_hash_is_argon2id_with_todays_parameters_and_matches_only_its_password() -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        hashed = await passwords.hash(GOOD)
        assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")
        assert await passwords.verify(GOOD, hashed)
        assert not await passwords.verify(GOOD + "x", hashed)
        assert not passwords.needs_rehash(hashed)
        assert passwords.needs_rehash(hashed.replace("m=47104", "m=19456"))

    _with_passwords(scenario)


def test_one_password_typed_on_two_keyboards_is_one() -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        hashed = await passwords.hash("lamp\u00e9-Harbour-93\ufb01")
        assert await passwords.verify("lampe\u0301-Harbour-93fi", hashed)

    _with_passwords(scenario)


@pytest.mark.parametrize(
    "password",
    ["", "seven77", "x" * 129, "\ufdfa" * 40, "x" * 10_000, "lamp\ud800Harbour93", "\ufb01" * 3],
    ids=["empty", "seven", "129", "expands", "huge", "surrogate", "six-after-folding"],
)
def test_a_password_of_the_wrong_length_is_refused_and_never_matches(password: str) -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        with pytest.raises(Invalid, match="8 to 128"):
            await passwords.hash(password)
        assert not await passwords.verify(password, await passwords.hash(GOOD))

    _with_passwords(scenario)


@pytest.mark.parametrize(
    "password",
    [
        "password",
        "PASSWORD1",
        "letmein1",
        "12345678",
        "qwertyuiop",
        "aaaaaaaaaaaa",
        "iloveyou1",
        "11112222",
        "trustno1",
    ],
)
def test_a_common_password_is_refused(password: str) -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        with pytest.raises(Invalid):
            await passwords.hash(password)

    _with_passwords(scenario)


@pytest.mark.parametrize("password", ["ada.lovelace", "adalovelace1", "ada.lovelace@example.org", "ADA.LOVELACE"])
def test_a_password_made_of_the_users_own_name_is_refused(password: str) -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        with pytest.raises(Invalid):
            await passwords.hash(password, personal=("ada.lovelace@example.org", "adalovelace"))

    _with_passwords(scenario)


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "correct horse battery",
        "\u043a\u043b\u044e\u0447-\u0414\u0432\u0456\u0440-93-\u0446\u0436",
        "a" * 40 + "Zk9#mQ2!vR7&xT",
        "8chR!x#q",
    ],
)
def test_a_decent_password_is_taken(password: str) -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        assert await passwords.verify(password, await passwords.hash(password))

    _with_passwords(scenario)


def test_leetspeak_costs_no_more_than_a_moment() -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        began = time.process_time()
        await passwords.hash("4@8({[<6903!1|7$5+%2" * 6)
        assert time.process_time() - began < 1

    _with_passwords(scenario)


@pytest.mark.parametrize("hashed", ["", "plain", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"])
def test_a_damaged_hash_matches_nothing(hashed: str) -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        assert not await passwords.verify(GOOD, hashed)

    _with_passwords(scenario)


def test_an_unknown_user_costs_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same function runs with the same parameters: time itself is measured where machines are quiet."""
    seen: list[str] = []
    matches = Argon2Passwords._matches

    def observed(self: Argon2Passwords, hashed: str, text: str) -> bool:
        seen.append(hashed)
        return matches(self, hashed, text)

    monkeypatch.setattr(Argon2Passwords, "_matches", observed)

    async def scenario(passwords: Argon2Passwords) -> None:
        hashed = await passwords.hash(GOOD)
        began = time.thread_time()
        assert not await passwords.verify("wrong-Harbour-93", hashed)
        await passwords.verify_unknown("wrong-Harbour-93")
        assert time.thread_time() - began < 1
        known, unknown = seen
        assert known.rpartition("$")[0].rpartition("$")[0] == unknown.rpartition("$")[0].rpartition("$")[0]
        assert [len(part) for part in known.split("$")] == [len(part) for part in unknown.split("$")]

    _with_passwords(scenario)


def test_nothing_matches_the_hash_of_nobody() -> None:
    async def scenario(passwords: Argon2Passwords) -> None:
        assert not await passwords.verify(GOOD, module._NOBODY)

    _with_passwords(scenario)


def test_a_full_queue_refuses_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 3)
    go = threading.Event()

    async def scenario(passwords: Argon2Passwords) -> None:
        waiting = [asyncio.ensure_future(passwords._run(lambda: go.wait(30))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RateLimited) as refusal:
            await passwords.verify(GOOD, module._NOBODY)
        assert refusal.value.details["retry_after"] == 1
        waiting[2].cancel()
        go.set()
        assert await asyncio.gather(*waiting[:2]) == [True, True]
        assert not await passwords.verify(GOOD, module._NOBODY)

    _with_passwords(scenario)
