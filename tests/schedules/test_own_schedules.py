"""Schedules as their owners and operators see them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import uuid4

import pytest
from pydantic import ValidationError

from functions.schedules.create_schedule import CreateSchedule
from functions.schedules.delete_schedule import DeleteSchedule, delete_schedule
from functions.schedules.list_schedules import ListSchedules, list_schedules
from functions.schedules.run_schedule import RunSchedule, run_schedule
from functions.schedules.update_schedule import UpdateSchedule
from shared.config import Settings
from shared.errors import Conflict, Forbidden, Invalid, NotFound, RateLimited
from shared.function import Call, Caller
from shared.ports.schedules import LastRun, NewSchedule, Schedule, ScheduleList
from shared.ports.tasks import Tasks
from shared.recurrence import Recurrence
from tests.schedules.desk import ECHO, Desk, Refusing, at_desk


async def _list(desk: Desk, caller: Caller, **query: object) -> ScheduleList:
    return await list_schedules(ListSchedules.model_validate(query), caller=caller, schedules=desk.schedules)


async def _delete(desk: Desk, caller: Caller, schedule: Schedule) -> int:
    request = DeleteSchedule(schedule_id=schedule.id)
    return (await delete_schedule(request, caller=caller, schedules=desk.schedules)).deleted


async def _run(desk: Desk, caller: Caller, schedule: Schedule, key: str | None = None) -> LastRun:
    """The run as the schedule then shows it."""
    call, request = Call(request_id="r", idempotency_key=key), RunSchedule(schedule_id=schedule.id)
    started = await run_schedule(request, caller=caller, call=call, schedules=desk.schedules, tasks=desk.tasks)
    last_run = (await desk.get(caller, schedule)).last_run
    assert last_run is not None and last_run.task_id == started.task_id
    return last_run


def test_a_schedule_is_kept_as_it_was_asked_for(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        asked = {"name": "greeting", "cron": "30 6 * * 1-5", "timezone": "Europe/Berlin", "priority": "high"}
        made = await desk.create(ada, **asked, timeout=5000, catch_up="all")
        assert made == Schedule(
            id=made.id,
            user_id=ada.user_id,
            name="greeting",
            cron="30 6 * * 1-5",
            every_s=None,
            timezone="Europe/Berlin",
            agent_id="everything",
            task="echo",
            parameters={"message": "hello"},
            priority=7,
            timeout=5000,
            catch_up="all",
            paused=False,
            next_run_at=Recurrence("30 6 * * 1-5", None, "Europe/Berlin").first(made.created_at),
            last_run=None,
            last_error=None,
            created_at=made.created_at,
        )
        assert await desk.get(ada, made) == made
        assert await _list(desk, ada) == ScheduleList(schedules=[made], next_cursor=None)
        assert await desk.acts() == [("create_schedule", "done")]

    at_desk(settings, scenario)


def test_an_interval_first_runs_once_it_is_over(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        made = await desk.create(await desk.user(), every_s=90)
        assert (made.cron, made.every_s, made.timezone, made.catch_up, made.priority) == (None, 90, "UTC", "once", 4)
        assert made.next_run_at == made.created_at + timedelta(seconds=90)

    at_desk(settings, scenario)


@pytest.mark.parametrize(
    "asked, error",
    [
        ({"cron": "* * * * *", "every_s": 1}, Invalid),
        ({"cron": None, "every_s": None}, Invalid),
        ({"cron": "61 * * * *"}, Invalid),
        ({"cron": "0 0 30 2 *"}, Invalid),
        ({"cron": "0 0 30 2 *", "paused": True}, Invalid),
        ({"timezone": "Mars/Olympus"}, Invalid),
        ({"every_s": 0}, ValidationError),
        ({"every_s": -1}, ValidationError),
        ({"every_s": 1.5}, ValidationError),
        ({"every_s": 10**12}, ValidationError),
        ({"cron": ""}, ValidationError),
        ({"cron": "*" * 201}, ValidationError),
        ({"catch_up": "some"}, ValidationError),
        ({"priority": 10}, ValidationError),
        ({"timeout": 0}, ValidationError),
        ({"parameters": {"message": 1}}, Invalid),
        ({"parameters": {}}, Invalid),
        ({"task": "get-env", "parameters": {"name": "HOME"}}, Invalid),
        ({"task": "shout"}, NotFound),
        ({"agent_id": "nobody"}, NotFound),
        ({"user_id": str(uuid4())}, ValidationError),
        ({"next_run_at": "2020-01-01T00:00:00Z"}, ValidationError),
    ],
)
def test_what_cannot_be_planned_is_refused(
    settings: Settings, asked: dict[str, object], error: type[Exception]
) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        with pytest.raises(error):
            await desk.create(ada, **asked)
        assert (await _list(desk, ada)).schedules == []

    at_desk(settings, scenario)


def test_whoever_may_not_use_the_tool_may_not_plan_it(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        audrey = await desk.user("audrey", "auditor")
        with pytest.raises(Forbidden):
            await desk.create(audrey)

    at_desk(settings, scenario)


def test_pages_hold_every_schedule_once_newest_first(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = [(await desk.create(ada)).id for _ in range(7)]
        seen, cursor = [], None
        while True:
            page = await _list(desk, ada, limit=3, cursor=cursor)
            seen += [schedule.id for schedule in page.schedules]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == made[::-1]
        with pytest.raises(Invalid):
            await _list(desk, ada, cursor="nonsense")

    at_desk(settings, scenario)


def test_another_users_schedule_is_not_found(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, bob = await desk.user(), await desk.user("bob")
        made = await desk.create(ada)
        for act in (
            desk.get(bob, made),
            desk.change(bob, made, paused=True),
            desk.change(bob, made),
            _run(desk, bob, made),
            _delete(desk, bob, made),
        ):
            with pytest.raises(NotFound, match=str(made.id)):
                await act
        with pytest.raises(Forbidden):
            await _list(desk, bob, all=True)
        assert (await _list(desk, bob)).schedules == []
        assert await desk.get(ada, made) == made
        refused = ["update_schedule", "update_schedule", "run_schedule", "delete_schedule"]
        assert await desk.acts() == [("create_schedule", "done"), *((act, "refused") for act in refused)]
        assert await desk.made(ada) == await desk.made(bob) == []

    at_desk(settings, scenario)


def test_operators_see_and_change_the_schedules_of_all(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, otto = await desk.user(), await desk.user("otto", "operator")
        made, own = await desk.create(ada), await desk.create(otto)
        assert [s.id for s in (await _list(desk, otto)).schedules] == [own.id]
        assert [s.id for s in (await _list(desk, otto, all=True)).schedules] == [own.id, made.id]
        assert await desk.get(otto, made) == made
        assert (await desk.change(otto, made, priority=9)).user_id == ada.user_id
        run = await _run(desk, otto, made)
        assert await desk.made(ada) == [run.task_id] and await desk.made(otto) == []
        assert await _delete(desk, otto, made) == 1
        with pytest.raises(NotFound):
            await desk.get(ada, made)

    at_desk(settings, scenario)


def test_only_what_is_given_changes(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=600, name="a")
        changes: list[tuple[dict[str, object], dict[str, object]]] = [
            ({"name": "b"}, {"name": "b"}),
            ({"priority": "urgent"}, {"priority": 9}),
            ({"timeout": 7}, {"timeout": 7}),
            ({"catch_up": "skip"}, {"catch_up": "skip"}),
            ({"parameters": {"message": "bye"}}, {"parameters": {"message": "bye"}}),
            ({"task": "get-sum", "parameters": {"a": 1, "b": 2}}, {"task": "get-sum", "parameters": {"a": 1, "b": 2}}),
            ({"every_s": 600}, {}),
        ]
        for change, shown in changes:
            was, made = made, await desk.change(ada, made, **change)
            assert made == was.model_copy(update=shown) == await desk.get(ada, made)

    at_desk(settings, scenario)


def test_a_changed_time_counts_from_now(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=600)
        await desk.late(made, 5)
        before = await desk.now()
        changed = await desk.change(ada, made, every_s=60)
        assert changed.next_run_at is not None
        assert before + timedelta(seconds=60) <= changed.next_run_at <= await desk.now() + timedelta(seconds=60)
        by_cron = await desk.change(ada, made, cron="0 12 * * *", timezone="Asia/Kolkata")
        assert (by_cron.cron, by_cron.every_s, by_cron.timezone) == ("0 12 * * *", None, "Asia/Kolkata")
        assert by_cron.next_run_at is not None
        assert by_cron.next_run_at.astimezone(UTC).strftime("%H:%M") == "06:30"
        moved = await desk.change(ada, made, timezone="UTC")
        assert moved.next_run_at is not None and moved.next_run_at.astimezone(UTC).strftime("%H:%M") == "12:00"
        back = await desk.change(ada, made, every_s=60)
        assert (back.cron, back.every_s) == (None, 60)

    at_desk(settings, scenario)


@pytest.mark.parametrize(
    "change, error",
    [
        ({}, Invalid),
        ({"cron": "* * * * *", "every_s": 1}, Invalid),
        ({"cron": "0 0 30 2 *"}, Invalid),
        ({"cron": "0 0 30 2 *", "paused": True}, Invalid),
        ({"timezone": "nowhere"}, Invalid),
        ({"task": "get-sum"}, Invalid),
        ({"parameters": {"message": 1}}, Invalid),
        ({"agent_id": "nobody"}, NotFound),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(
    settings: Settings, change: dict[str, object], error: type[Exception]
) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada)
        with pytest.raises(error):
            await desk.change(ada, made, **change)
        assert await desk.get(ada, made) == made

    at_desk(settings, scenario)


def test_a_paused_schedule_waits_and_makes_nothing_up_afterwards(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60, catch_up="all")
        await desk.late(made, 3600)
        paused = await desk.change(ada, made, paused=True)
        assert paused.paused and paused.next_run_at is None
        await desk.turn()
        assert await desk.made(ada) == []
        before = await desk.now()
        resumed = await desk.change(ada, made, paused=False)
        assert not resumed.paused and resumed.next_run_at is not None
        assert resumed.next_run_at >= before + timedelta(seconds=60)
        assert await desk.change(ada, made, paused=False) == resumed
        await desk.turn()
        assert await desk.made(ada) == []

    at_desk(settings, scenario)


def test_a_schedule_may_begin_paused(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        made = await desk.create(await desk.user(), paused=True)
        assert made.paused and made.next_run_at is None

    at_desk(settings, scenario)


def test_a_run_now_moves_nothing(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, priority=2, timeout=1234, paused=True)
        run = await _run(desk, ada, made)
        task = await desk.tasks.get(ada.user_id, run.task_id)
        assert task is not None
        assert (task.agent_id, task.task, task.parameters) == ("everything", "echo", {"message": "hello"})
        assert (task.priority, task.timeout, task.status) == (2, 1234, "queued")
        assert await desk.get(ada, made) == made.model_copy(update={"last_run": run})
        assert await desk.acts() == [("create_schedule", "done"), ("run_schedule", "done")]

    at_desk(settings, scenario)


def test_a_run_now_under_one_key_is_one_run(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, otto = await desk.user(), await desk.user("otto", "operator")
        made = await desk.create(ada)
        first, again = await _run(desk, ada, made, "k"), await _run(desk, ada, made, "k")
        assert first.task_id == again.task_id
        his = await _run(desk, otto, made, "k")
        other = await _run(desk, ada, made)
        assert set(await desk.made(ada)) == {first.task_id, his.task_id, other.task_id}
        assert len({first.task_id, his.task_id, other.task_id}) == 3

    at_desk(settings, scenario)


def test_a_run_now_asks_for_the_rights_of_its_owner(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, otto = await desk.user(), await desk.user("otto", "operator")
        made = await desk.create(ada)
        await desk.users.set_access(ada.user_id, actor=otto.user_id, roles=("auditor",), is_active=None)
        with pytest.raises(Forbidden):
            await _run(desk, otto, made)
        await desk.users.set_access(ada.user_id, actor=otto.user_id, roles=("user",), is_active=False)
        with pytest.raises(Forbidden):
            await _run(desk, otto, made)
        assert await desk.made(ada) == []

    at_desk(settings, scenario)


def test_a_full_queue_refuses_a_run_now(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada)
        full = Refusing(desk.tasks, RateLimited("too many tasks are waiting", retry_after=5))
        with pytest.raises(RateLimited):
            await run_schedule(
                RunSchedule(schedule_id=made.id),
                caller=ada,
                call=Call(request_id="r"),
                schedules=desk.schedules,
                tasks=cast(Tasks, full),
            )
        assert await desk.get(ada, made) == made

    at_desk(settings, scenario)


def test_a_user_has_a_thousand_schedules_at_most(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, bob = await desk.user(), await desk.user("bob")
        made = await desk.create(ada, paused=True)
        await desk.database.execute(
            "INSERT INTO schedules (id, user_id, name, every_s, timezone, agent_type, task_id, parameters, priority,"
            " timeout_ms, catch_up) SELECT gen_random_uuid(), user_id, name, every_s, timezone, agent_type, task_id,"
            " parameters, priority, timeout_ms, catch_up FROM schedules, generate_series(1, 998)"
        )
        outcomes = await asyncio.gather(*(desk.create(ada) for _ in range(5)), return_exceptions=True)
        refused = [outcome for outcome in outcomes if not isinstance(outcome, Schedule)]
        assert len(refused) == 4
        for one in refused:
            assert isinstance(one, Conflict) and "at most 1000 schedules" in one.message
        assert (await desk.create(bob)).user_id == bob.user_id
        await _delete(desk, ada, made)
        assert (await desk.create(ada)).user_id == ada.user_id

    at_desk(settings, scenario)


def test_an_erased_user_leaves_no_schedule(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, bob = await desk.user(), await desk.user("bob")
        made, kept = await desk.create(ada, every_s=1), await desk.create(bob)
        await desk.late(made, 30)
        assert await desk.users.erase(ada.user_id)
        rows = await desk.database.fetch("SELECT id FROM schedules")
        assert [row["id"] for row in rows] == [kept.id]
        await desk.turn()
        assert await desk.made(ada) == []
        with pytest.raises(NotFound):
            await desk.create(ada)

    at_desk(settings, scenario)


def test_what_is_planned_is_not_read_in_the_table(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        made = await desk.create(await desk.user(), parameters={"message": "a secret"})
        sealed = await desk.database.fetchval("SELECT parameters FROM schedules WHERE id = $1", made.id)
        # The byte of the key's version comes first: whatever seals it, it went through the codec.
        assert sealed[:1] == b"\0" and sealed[1:] == b'{"message":"a secret"}'

    at_desk(settings, scenario)


def test_the_record_keeps_microseconds_and_utc(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        when = Recurrence(None, 3600)
        made = await desk.schedules.add(
            NewSchedule(user_id=ada.user_id, recurrence=when, agent="everything", tool="echo", parameters={})
        )
        again = await desk.schedules.get(made.id, owner=ada.user_id)
        assert again == made and isinstance(made.next_run_at, datetime)
        assert made.next_run_at.utcoffset() == timedelta(0)

    at_desk(settings, scenario)


def test_requests_take_nothing_unknown() -> None:
    with pytest.raises(ValidationError):
        CreateSchedule.model_validate({**ECHO, "every_s": 1, "unknown": 1})
    with pytest.raises(ValidationError):
        UpdateSchedule.model_validate({"schedule_id": uuid4(), "user_id": uuid4()})
