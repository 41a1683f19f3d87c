"""What administrators do with users, and what keeps them from locking everyone out."""

import asyncio
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from functions.users.get_user import GetUser, get_user
from functions.users.list_users import ListUsers, list_users
from functions.users.update_user import UpdateUser, update_user
from shared.config import Settings
from shared.errors import ConfigurationError, Conflict, Invalid, NotFound
from shared.function import Caller
from shared.local.admin import ensure_admin
from shared.ports.users import Registration, Role, User, UserPage, normal_email
from tests.people import PASSWORD, Place, at, within_a_second


async def _root(here: Place) -> Caller:
    await here.admin()
    return await here.caller((await here.login("root")).access_token)


async def _people(here: Place, count: int) -> None:
    for number in range(count):
        name = f"user{number:02d}"
        await here.users.register(Registration(email=f"{name}@example.org", username=name, password_hash=""))


async def _list(here: Place, **query: object) -> UserPage:
    return await list_users(ListUsers.model_validate(query), users=here.users)


async def _update(
    here: Place, root: Caller, user: User, roles: list[Role] | None = None, is_active: bool | None = None
) -> User:
    request = UpdateUser(user_id=user.id, roles=roles, is_active=is_active)
    return await update_user(request, caller=root, users=here.users)


def test_following_the_cursor_shows_every_user_once(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await _people(here, 7)
        seen, cursor = [], None
        while True:
            page = await _list(here, limit=3, cursor=cursor)
            seen += [user.username for user in page.users]
            cursor = page.next_cursor
            assert page.total == 7
            if cursor is None:
                break
        assert seen == [f"user{number:02d}" for number in range(7)]

    at(settings, scenario)


def test_pages_are_numbered_too(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await _people(here, 5)
        pages = [await _list(here, limit=2, page=number) for number in (1, 2, 3, 4)]
        names = [[user.username for user in page.users] for page in pages]
        assert names == [["user00", "user01"], ["user02", "user03"], ["user04"], []]
        assert [(page.total, page.page) for page in pages] == [(5, 1), (5, 2), (5, 3), (5, 4)]

    at(settings, scenario)


@pytest.mark.parametrize(
    "search, found",
    [
        ("user0", {"user00", "user01", "user02"}),
        ("SER01", {"user01"}),
        ("USER02@example.org", {"user02"}),
        ("user02@", set()),
        ("example.org", set()),
        ("%", set()),
        ("_ser", set()),
        ("' OR 1=1 --", set()),
    ],
)
def test_a_search_looks_in_names_and_for_whole_addresses(settings: Settings, search: str, found: set[str]) -> None:
    async def scenario(here: Place) -> None:
        await _people(here, 3)
        page = await _list(here, search=search)
        assert {user.username for user in page.users} == found and page.total == len(found)

    at(settings, scenario)


def test_users_are_listed_by_whether_they_are_active(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        root = await _root(here)
        await _people(here, 2)
        first = (await _list(here, search="user00")).users[0]
        await _update(here, root, first, is_active=False)
        assert [user.username for user in (await _list(here, is_active=False)).users] == ["user00"]
        assert {user.username for user in (await _list(here, is_active=True)).users} == {"root", "user01"}

    at(settings, scenario)


@pytest.mark.parametrize("cursor", ["x", "====", "MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMHw", "\u00e9", "AAAA" * 40])
def test_a_foreign_cursor_is_refused(settings: Settings, cursor: str) -> None:
    async def scenario(here: Place) -> None:
        with pytest.raises(Invalid):
            await _list(here, cursor=cursor)

    at(settings, scenario)


def test_an_administrator_sees_any_user_and_learns_of_unknown_ones(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.register("ada")
        assert (await get_user(GetUser(user_id=ada.id), users=here.users)).email == "ada@example.org"
        with pytest.raises(NotFound):
            await get_user(GetUser(user_id=uuid4()), users=here.users)

    at(settings, scenario)


def test_roles_hold_within_a_second_without_a_new_login(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        root = await _root(here)
        await here.register("ada")
        pair = await here.login("ada")
        assert "audit:read" not in (await here.caller(pair.access_token)).scopes
        updated = await _update(here, root, pair.user, roles=["auditor", "user", "user"])
        assert updated.roles == ("auditor", "user")

        async def audits() -> bool:
            return "audit:read" in (await here.caller(pair.access_token)).scopes

        await within_a_second(audits)
        assert (await here.acts())[-1] == ("users.update_user", "done")

    at(settings, scenario)


def test_disabling_ends_sessions_within_a_second_and_is_told(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        root = await _root(here)
        await here.register("ada")
        pair = await here.login("ada")
        caller = await here.caller(pair.access_token)
        assert not (await _update(here, root, pair.user, is_active=False)).is_active
        await within_a_second(lambda: here.is_out(caller.session_id))
        assert await here.events(caller.user_id) == ["user.registered.v1", "user.disabled.v1"]
        await _update(here, root, pair.user, is_active=True)
        assert await here.sessions.check(caller.session_id) is None
        assert (await here.login("ada")).user.is_active

    at(settings, scenario)


@pytest.mark.parametrize("roles, is_active", [(["user"], None), (None, False), (["user"], False), (["operator"], True)])
def test_the_last_administrator_stays_one(settings: Settings, roles: list[Role] | None, is_active: bool | None) -> None:
    async def scenario(here: Place) -> None:
        root = await _root(here)
        user = await here.users.get(root.user_id)
        assert user is not None
        with pytest.raises(Conflict):
            await _update(here, root, user, roles, is_active)
        assert (await here.users.get(root.user_id)) == user
        assert (await here.acts())[-1] == ("users.update_user", "refused")

    at(settings, scenario)


def test_two_administrators_who_demote_each_other_leave_one(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        one, other = await here.admin("one"), await here.admin("other")
        outcomes = await asyncio.gather(
            here.users.set_access(other.id, actor=one.id, roles=("user",), is_active=None),
            here.users.set_access(one.id, actor=other.id, roles=("user",), is_active=None),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 1
        left = await here.database.fetchval("SELECT count(*) FROM users WHERE 'admin' = ANY (roles)")
        assert left == 1

    at(settings, scenario)


def test_an_unknown_user_is_not_changed(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        root = await _root(here)
        with pytest.raises(NotFound):
            await update_user(UpdateUser(user_id=uuid4(), is_active=False), caller=root, users=here.users)
        with pytest.raises(Invalid):
            await update_user(UpdateUser(user_id=root.user_id), caller=root, users=here.users)

    at(settings, scenario)


def test_a_fresh_installation_gets_one_administrator(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        made = await asyncio.gather(
            *(ensure_admin(here.users, here.passwords, "Root@example.org", None) for _ in range(3))
        )
        (made_one,) = [one for one in made if one]
        address, password = made_one
        assert address == "root@example.org" and len(password) >= 20
        assert (await here.login("admin", password=password)).user.roles == ("admin",)
        assert await ensure_admin(here.users, here.passwords, "other@example.org", PASSWORD) is None

    at(settings, scenario)


def test_the_first_administrator_does_without_a_name_that_is_taken(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.register("admin")
        assert await ensure_admin(here.users, here.passwords, "root@example.org", PASSWORD) == (
            "root@example.org",
            PASSWORD,
        )

    at(settings, scenario)


@pytest.mark.parametrize("email, password", [("root", PASSWORD), ("root@example.org", "password")])
def test_a_bad_first_administrator_is_a_matter_of_configuration(settings: Settings, email: str, password: str) -> None:
    async def scenario(here: Place) -> None:
        with pytest.raises(ConfigurationError):
            await ensure_admin(here.users, here.passwords, email, password)
        assert not await here.users.has_admin()

    at(settings, scenario)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "",
            "a",
            "a@b",
            "@b.cd",
            "a@@b.cd",
            "a b@c.de",
            "a@b..cd",
            ".a@b.cd",
            "a.@b.cd",
            "a@-b.cd",
            "a@b.1",
        ),
        *("a@b.cd\n", "a@b.cd ", "ä@b.cd", "a@bü.de", "a\0@b.cd"),
        *("a" * 65 + "@b.cd", "a@" + "b" * 64 + ".cd", "a@" + "b." * 130 + "cd"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no e-mail address"):
        normal_email(address)


@limits(deadline=None, max_examples=50)
@given(st.emails())
def test_a_normal_address_is_normal(address: str) -> None:
    try:
        once = normal_email(address)
    except ValueError:
        return
    assert normal_email(once) == once == once.lower()
