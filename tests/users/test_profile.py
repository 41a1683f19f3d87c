"""What users do with their own accounts."""

import asyncio
from uuid import UUID

import pytest
from pydantic import ValidationError

from functions.users.change_password import ChangePassword, change_password
from functions.users.delete_me import DeleteMe, delete_me
from functions.users.get_me import get_me
from functions.users.update_me import UpdateMe, update_me
from shared.config import Settings
from shared.errors import Conflict, Invalid, Unauthorized
from shared.function import Caller
from shared.ports.users import Preferences
from tests.people import PASSWORD, Place, at, within_a_second

NEW = "orange-Bridge-41-kettle"


async def _change(here: Place, caller: Caller, current: str, new: str, confirm: str | None = None) -> int:
    request = ChangePassword(current_password=current, new_password=new, confirm_password=confirm or new)
    users, passwords, throttle = here.users, here.passwords, here.throttle
    ended = await change_password(request, caller=caller, users=users, passwords=passwords, throttle=throttle)
    return ended.ended


async def _delete(here: Place, caller: Caller, password: str = PASSWORD) -> None:
    users, passwords, throttle = here.users, here.passwords, here.throttle
    await delete_me(DeleteMe(password=password), caller=caller, users=users, passwords=passwords, throttle=throttle)


def test_what_a_user_sets_is_kept_and_what_is_left_out_stays(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        first = UpdateMe(full_name="Ada L.", preferences=Preferences(theme="dark", language="en-GB"))
        await update_me(first, caller=ada, users=here.users)
        second = UpdateMe(preferences=Preferences(notifications=False, theme="light"))
        await update_me(second, caller=ada, users=here.users)
        user = await get_me(caller=ada, users=here.users)
        assert (user.full_name, user.email) == ("Ada L.", "ada@example.org")
        assert user.preferences == Preferences(theme="light", language="en-GB", notifications=False)
        assert (await here.acts())[-2:] == [("users.update_me", "done")] * 2

    at(settings, scenario)


@pytest.mark.parametrize(
    "body",
    [
        {"roles": ["admin"]},
        {"is_superuser": True},
        {"email": "root@example.org"},
        {"preferences": {"theme": "neon"}},
        {"preferences": {"language": "en'--"}},
        {"preferences": {"notifications": "yes"}},
        {"preferences": {"admin": True}},
        {"full_name": "a\nb"},
        {"full_name": "a\0b"},
        {"full_name": "x" * 201},
        {"full_name": 7},
    ],
)
def test_a_profile_takes_nothing_else(body: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        UpdateMe.model_validate(body)


def test_a_new_password_ends_the_other_sessions_and_replaces_the_old_one(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        other = await here.caller((await here.login("ada")).access_token)
        assert await _change(here, ada, PASSWORD, NEW) == 1
        assert await here.sessions.check(ada.session_id)
        await within_a_second(lambda: here.is_out(other.session_id))
        with pytest.raises(Unauthorized):
            await here.login("ada")
        assert (await here.login("ada", password=NEW)).user.id == ada.user_id
        assert ("users.change_password", "done") in await here.acts()

    at(settings, scenario)


def test_a_password_is_not_changed_without_the_present_one(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        with pytest.raises(Unauthorized):
            await _change(here, ada, "wrong-Harbour-93", NEW)
        assert (await here.acts())[-1] == ("users.change_password", "refused")
        assert (await here.login("ada")).user.id == ada.user_id

    at(settings, scenario)


@pytest.mark.parametrize(
    "new, confirm",
    [(NEW, NEW + "x"), ("password123", "password123"), (PASSWORD, PASSWORD), ("short", "short")],
)
def test_a_bad_new_password_changes_nothing(settings: Settings, new: str, confirm: str) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        with pytest.raises(Invalid):
            await _change(here, ada, PASSWORD, new, confirm)
        assert (await here.login("ada")).user.id == ada.user_id

    at(settings, scenario)


def test_of_two_changes_at_once_one_holds(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        news = [NEW, "copper-Violin-77-meadow"]
        outcomes = await asyncio.gather(*(_change(here, ada, PASSWORD, new) for new in news), return_exceptions=True)
        won = [new for new, outcome in zip(news, outcomes, strict=True) if not isinstance(outcome, Exception)]
        assert len(won) == 1
        assert all(isinstance(one, Conflict | Unauthorized) for one in outcomes if isinstance(one, Exception))
        assert (await here.login("ada", password=won[0])).user.id == ada.user_id

    at(settings, scenario)


async def _leave_traces(here: Place, user_id: UUID) -> None:
    await here.database.execute(
        "INSERT INTO idempotency_keys (user_id, key, request_hash) VALUES ($1, 'k', '')", user_id
    )
    await here.database.execute(
        "INSERT INTO agent_executions (user_id, id, agent_type, task_id, input_data, status, priority,"
        " timeout_ms, expires_at) VALUES ($1, gen_random_uuid(), 'a', 't', '', 'queued', 4, 1, now())",
        user_id,
    )
    await here.database.execute(
        "INSERT INTO task_progress (user_id, execution_id, percent) VALUES ($1, gen_random_uuid(), 1)",
        user_id,
    )
    await here.database.execute(
        "INSERT INTO ledger (user_id, execution_id, step, attempt) VALUES ($1, gen_random_uuid(), 's', 1)",
        user_id,
    )
    await here.database.execute(
        "INSERT INTO dead_letters (reason, consumer, event, attempts, error) VALUES"
        " ('r', 'c', jsonb_build_object('userid', $1::text), 1, '')",
        str(user_id),
    )


async def _tables_naming(here: Place, user_id: UUID) -> set[str]:
    """Every table with a row in which the id stands, whatever the column."""
    names = await here.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'sutazai'")
    found = set()
    for name in (row["tablename"] for row in names):
        query = f"SELECT EXISTS (SELECT 1 FROM {name} t WHERE t::text LIKE $1)"
        if await here.database.fetchval(query, f"%{user_id}%"):
            found.add(name)
    return found


def test_an_erased_user_leaves_an_event_and_the_audit_trail_only(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada, bob = await here.registered_caller("ada"), await here.registered_caller("bob")
        for caller in (ada, bob):
            await _leave_traces(here, caller.user_id)
        before = await _tables_naming(here, bob.user_id)
        assert before >= {"users", "sessions", "idempotency_keys", "task_progress", "ledger", "dead_letters"}
        await _delete(here, ada)
        # The last names what is still to be taken out of the object store, and goes with it.
        assert await _tables_naming(here, ada.user_id) == {"events", "audit_log", "object_removals"}
        assert await here.events(ada.user_id) == ["user.erased.v1"]
        assert await _tables_naming(here, bob.user_id) == before
        assert await here.database.fetchval("SELECT count(*) FROM refresh_tokens") == 1
        assert (await here.acts())[-1] == ("users.delete_me", "done")

    at(settings, scenario)


def test_an_erased_user_is_logged_out_within_a_second_and_may_register_anew(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        await _delete(here, ada)
        await within_a_second(lambda: here.is_out(ada.session_id))
        assert (await here.register("ada")).id != ada.user_id

    at(settings, scenario)


def test_erasing_needs_the_password(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        ada = await here.registered_caller("ada")
        with pytest.raises(Unauthorized):
            await _delete(here, ada, "wrong-Harbour-93")
        assert await here.users.get(ada.user_id)
        assert (await here.acts())[-1] == ("users.delete_me", "refused")

    at(settings, scenario)


def test_the_last_administrator_cannot_be_erased(settings: Settings) -> None:
    async def scenario(here: Place) -> None:
        await here.admin()
        root = await here.caller((await here.login("root")).access_token)
        with pytest.raises(Conflict):
            await _delete(here, root)
        assert await here.users.get(root.user_id)
        await here.admin("second")
        await _delete(here, root)
        assert await here.users.get(root.user_id) is None

    at(settings, scenario)
