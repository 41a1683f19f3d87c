"""Registering, logging in, and what neither gives away."""

import asyncio

import pytest

from functions.auth.login import LoggedIn, Login, login
from functions.auth.register import Register, register
from shared.config import Settings
from shared.errors import Conflict, Invalid, SutazaiError, Unauthorized
from tests.people import FIREFOX, PASSWORD, Place, at


async def _login(here: Place, request: Login) -> LoggedIn:
    return await login(
        request,
        users=here.users,
        passwords=here.passwords,
        sessions=here.sessions,
        tokens=here.tokens,
        throttle=here.throttle,
        call=FIREFOX,
    )


async def _register(here: Place, request: Register) -> None:
    users, passwords, throttle = here.users, here.passwords, here.throttle
    await register(request, users=users, passwords=passwords, throttle=throttle, call=FIREFOX)


def test_a_new_user_is_a_plain_user_with_an_event_and_an_audit_line(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.register("Ada")
        assert (ada.email, ada.username) == ("ada@example.org", "Ada")
        found = await here.users.get(ada.id)
        assert found is not None and found.roles == ("user",) and found.is_active
        assert await here.events(ada.id) == ["user.registered.v1"]
        assert await here.acts() == [("auth.register", "done")]

    at(settings, scenario)


def test_an_address_is_no_plain_text_in_its_index(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        index = await here.database.fetchval("SELECT email_index FROM users")
        assert len(index) == 32 and b"ada" not in index

    at(settings, scenario)


@pytest.mark.parametrize("login_name", ["ada@example.org", "ADA@Example.ORG", "ada", "ADA"])
def test_a_user_logs_in_by_address_or_name_in_any_case(settings: Settings, login_name: str) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.register("Ada")
        for request in (
            Login(email=login_name, password=PASSWORD),
            Login(username=login_name, password=PASSWORD),
        ):
            answer = await _login(here, request)
            assert (answer.user.id, answer.token_type, answer.expires_in) == (ada.id, "bearer", 600)
            assert answer.user.last_login_at is not None
            assert (await here.caller(answer.access_token)).user_id == ada.id

    at(settings, scenario)


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        answers = []
        for request in (
            Login(username="ada", password="wrong-Harbour-93"),
            Login(username="nobody", password="wrong-Harbour-93"),
            Login(email="nobody@example.org", password="wrong-Harbour-93"),
            Login(email="no address\0@", password="wrong-Harbour-93"),
            Login(username="na\0me", password="wrong-Harbour-93"),
            Login(username="ada", password="x"),
        ):
            with pytest.raises(Unauthorized) as refusal:
                await _login(here, request)
            answers.append((refusal.value.message, refusal.value.details))
        assert answers == [answers[0]] * len(answers)
        assert await here.acts() == [("auth.register", "done")] + [("auth.login", "refused")] * len(answers)

    at(settings, scenario)


def test_the_audit_of_a_failed_login_keeps_a_pseudonym(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        with pytest.raises(Unauthorized):
            await _login(here, Login(email="stranger@example.org", password="wrong-Harbour-93"))
        line = await here.database.fetchrow("SELECT actor, object FROM audit_log")
        assert line is not None and line["actor"] == "anonymous"
        assert line["object"].startswith("account:") and "stranger" not in line["object"]

    at(settings, scenario)


def test_a_login_needs_exactly_one_name(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        for request in (Login(password=PASSWORD), Login(email="a@b.cd", username="a", password=PASSWORD)):
            with pytest.raises(Invalid):
                await _login(here, request)

    at(settings, scenario)


def test_one_address_and_one_name_are_registered_once_however_many_try(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        outcomes = await asyncio.gather(*(here.register("ada") for _ in range(8)), return_exceptions=True)
        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
        assert await here.database.fetchval("SELECT count(*) FROM users") == 1

    at(settings, scenario)


@pytest.mark.parametrize(
    "email, username",
    [("other@example.org", "ADA"), ("ADA@example.org", "other"), ("Ada@EXAMPLE.org", "aDa")],
)
def test_a_name_or_address_in_another_case_is_taken(settings: Settings, email: str, username: str) -> None:
    async def scenario(here: Place) -> None:
        await here.register("ada")
        request = Register(email=email, username=username, password=PASSWORD, confirm_password=PASSWORD)
        with pytest.raises(Conflict):
            await _register(here, request)
        assert await here.acts() == [("auth.register", "done"), ("auth.register", "refused")]

    at(settings, scenario)


@pytest.mark.parametrize("password", ["short", "password123", "qwertyuiop", "ada@example.org", "adaadaada", "x" * 129])
def test_a_bad_password_registers_nobody(settings: Settings, password: str) -> None:
    async def scenario(here: Place) -> None:
        request = Register(email="ada@example.org", username="ada", password=password, confirm_password=password)
        with pytest.raises(SutazaiError) as refusal:
            await _register(here, request)
        assert refusal.value.code == "VALIDATION_ERROR" and password not in refusal.value.message
        assert await here.database.fetchval("SELECT count(*) FROM users") == 0

    at(settings, scenario)


def test_a_password_typed_two_ways_is_refused(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        request = Register(email="ada@example.org", username="ada", password=PASSWORD, confirm_password=PASSWORD + "!")
        with pytest.raises(Invalid):
            await _register(here, request)

    at(settings, scenario)


def test_a_disabled_user_cannot_log_in(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        root, ada = await here.admin(), await here.register("ada")
        await here.users.set_access(ada.id, actor=root.id, roles=None, is_active=False)
        with pytest.raises(Unauthorized):
            await here.login("ada")
        assert (await here.acts())[-1] == ("auth.login", "refused")

    at(settings, scenario)


def test_a_hash_of_older_parameters_is_renewed_at_the_next_login(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        from argon2 import PasswordHasher

        ada = await here.register("ada")
        old = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
        await here.database.execute("UPDATE users SET password_hash = $1", old)
        await here.login("ada")
        renewed = await here.users.credentials_of(ada.id)
        assert renewed is not None and not here.passwords.needs_rehash(renewed.password_hash)
        await here.login("ada")

    at(settings, scenario)
