"""What comes due: once, whoever looks, whoever dies, and whatever was missed."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from functions.schedules.start_due_tasks import start_due_tasks
from shared.config import Settings
from shared.errors import RateLimited
from shared.ports.schedules import LastRun, Planned, Schedules
from shared.ports.tasks import NewTask, Tasks
from shared.wiring import Ports
from tests.schedules.desk import AWAY, Desk, Dying, Refusing, at_desk

FULL = RateLimited("too many tasks are waiting", limit=1, remaining=0, retry_after=5)


def test_a_due_run_becomes_a_task(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60, priority=2, timeout=1234)
        await desk.turn()
        assert await desk.made(ada) == []
        planned = await desk.late(made, 1)
        before = await desk.now()
        await desk.turn()
        [task_id] = await desk.made(ada)
        task = await desk.tasks.get(ada.user_id, task_id)
        assert task is not None
        assert (task.agent_id, task.task, task.parameters) == ("everything", "echo", {"message": "hello"})
        assert (task.priority, task.timeout, task.status) == (2, 1234, "queued")
        after = await desk.get(ada, made)
        assert after.last_run is not None and before <= after.last_run.at <= await desk.now()
        assert after == made.model_copy(
            update={
                "next_run_at": planned + timedelta(seconds=60),
                "last_run": LastRun(at=after.last_run.at, task_id=task_id),
            }
        )
        await desk.turn()
        assert await desk.made(ada) == [task_id]

    at_desk(settings, scenario)


def test_a_cron_goes_on_in_its_zone(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, cron="15 3 * * *", timezone="America/New_York")
        await desk.late(made, 10)
        await desk.turn()
        assert await desk.get(ada, made) == made.model_copy(update={"last_run": (await desk.get(ada, made)).last_run})
        assert len(await desk.made(ada)) == 1

    at_desk(settings, scenario)


# --- once ----------------------------------------------------------------------------------------------------------


def test_runners_at_once_make_one_run_of_each(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = [await desk.create(ada, every_s=60) for _ in range(120)]
        for schedule in made:
            await desk.late(schedule, 1)
        async with Ports(settings) as elsewhere:
            schedules, tasks = await elsewhere.open(Schedules), await elsewhere.open(Tasks)
            others = [start_due_tasks(schedules=schedules, tasks=tasks) for _ in range(2)]
            await asyncio.gather(desk.turn(), desk.turn(), *others)
        ids = await desk.made(ada)
        assert len(ids) == 120
        runs = [(await desk.get(ada, schedule)).last_run for schedule in made]
        assert sorted(run.task_id for run in runs if run) == sorted(ids)

    at_desk(settings, scenario)


def test_a_runner_that_dies_before_it_moves_on_makes_no_second_run(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60)
        planned = await desk.late(made, 1)
        with pytest.raises(asyncio.CancelledError):
            await desk.turn(Dying(desk.tasks))
        [task_id] = await desk.made(ada)
        assert (await desk.get(ada, made)).next_run_at == planned
        # What it held is free again after a while.
        await desk.turn()
        assert (await desk.get(ada, made)).next_run_at == planned
        await desk.released()
        await desk.turn()
        after = await desk.get(ada, made)
        assert await desk.made(ada) == [task_id]
        assert after.last_run is not None and after.last_run.task_id == task_id
        assert after.next_run_at == planned + timedelta(seconds=60)

    at_desk(settings, scenario)


def test_a_task_that_ended_meanwhile_is_not_run_again(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        await desk.late(await desk.create(ada, every_s=60), 1)
        with pytest.raises(asyncio.CancelledError):
            await desk.turn(Dying(desk.tasks))
        [task_id] = await desk.made(ada)
        await desk.tasks.cancel(ada.user_id, task_id)
        await desk.released()
        await desk.turn()
        assert await desk.made(ada) == [task_id]

    at_desk(settings, scenario)


def test_what_was_held_is_free_within_ten_seconds(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        made = await desk.create(await desk.user(), every_s=60)
        await desk.late(made, 1)
        assert [one.schedule.id for one in await desk.schedules.take_due(10)] == [made.id]
        assert await desk.schedules.take_due(10) == []
        held_s = await desk.database.fetchval("SELECT extract(epoch FROM not_before - now())::float8 FROM schedules")
        assert 0 < held_s <= 10
        await desk.database.execute("UPDATE schedules SET not_before = now() - interval '1 microsecond'")
        assert [one.schedule.id for one in await desk.schedules.take_due(10)] == [made.id]

    at_desk(settings, scenario)


class _Interrupted:
    """Tasks of a runner that stands still before it accepts, while `meanwhile` happens."""

    def __init__(self, desk: Desk) -> None:
        self._tasks = desk.tasks
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]:
        self.reached.set()
        await self.goes_on.wait()
        return await self._tasks.accept(tasks)


def test_a_runner_that_stood_still_repeats_what_another_did_and_moves_nothing(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60)
        await desk.late(made, 1)
        slow = _Interrupted(desk)
        turn = asyncio.create_task(desk.turn(slow))
        await slow.reached.wait()
        await desk.released()
        await desk.turn()
        before = await desk.get(ada, made)
        slow.goes_on.set()
        await turn
        assert await desk.get(ada, made) == before
        assert len(await desk.made(ada)) == 1

    at_desk(settings, scenario)


@pytest.mark.parametrize("change", [{"paused": True}, {"every_s": 7200}, {"cron": "0 0 1 1 *"}])
def test_a_change_in_the_middle_of_a_turn_holds(settings: Settings, change: dict[str, object]) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60)
        await desk.late(made, 1)
        slow = _Interrupted(desk)
        turn = asyncio.create_task(desk.turn(slow))
        await slow.reached.wait()
        changed = await desk.change(ada, made, **change)
        slow.goes_on.set()
        await turn
        [task_id] = await desk.made(ada)
        after = await desk.get(ada, made)
        assert after.last_run is not None and after.last_run.task_id == task_id
        assert after == changed.model_copy(update={"last_run": after.last_run})

    at_desk(settings, scenario)


def test_a_schedule_deleted_in_the_middle_of_a_turn_stays_deleted(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60)
        await desk.late(made, 1)
        slow = _Interrupted(desk)
        turn = asyncio.create_task(desk.turn(slow))
        await slow.reached.wait()
        assert await desk.schedules.remove(made.id, owner=ada.user_id, actor=ada.user_id)
        slow.goes_on.set()
        await turn
        assert await desk.database.fetchval("SELECT count(*) FROM schedules") == 0

    at_desk(settings, scenario)


# --- what was missed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "catch_up, every_s, late_s, runs",
    [
        ("skip", 60, 3600.5, 1),
        ("skip", 60, 30.5, 1),
        ("skip", 600, 90.5, 0),
        ("skip", 20, 3600.5, 3),
        ("once", 60, 3600.5, 1),
        ("once", 1, 3600.5, 1),
        ("once", 3600, 90.5, 1),
        ("once", 1, 2.5, 3),
        ("all", 60, 3600.5, 61),
        ("all", 3600, 90.5, 1),
        ("all", 1, 3600.5, 100),
    ],
)
def test_missed_runs_are_made_up_for_as_asked(
    settings: Settings, catch_up: str, every_s: int, late_s: float, runs: int
) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=every_s, catch_up=catch_up)
        planned = await desk.late(made, late_s)
        await desk.turn()
        first = await desk.made(ada)
        # While it is being made up for, the next run of a short interval may come.
        assert runs <= len(first) <= runs + (2 if every_s <= 20 else 0)
        after = await desk.get(ada, made)
        assert after.next_run_at is not None and after.next_run_at > await desk.now() - timedelta(seconds=2)
        assert (after.next_run_at - planned) % timedelta(seconds=every_s) == timedelta(0)
        if runs:
            assert after.last_run is not None and after.last_run.task_id in first
        else:
            assert after.last_run is None

    at_desk(settings, scenario)


def test_of_more_than_a_hundred_missed_runs_the_newest_run_and_the_rest_is_said(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, cron="* * * * *", catch_up="all")
        await desk.late(made, 86_400)
        await desk.turn()
        keys = await desk.database.fetch("SELECT idempotency_key AS key FROM agent_executions ORDER BY created_at, 1")
        times = sorted(row["key"].split()[2] for row in keys)
        after = await desk.get(ada, made)
        assert len(times) == 100 and after.last_error is not None
        assert after.last_error == f"more than 100 runs were missed: those before {times[0]} were dropped"
        assert after.next_run_at is not None and after.next_run_at.isoformat() > times[-1]
        # The next run is a usual one.
        await desk.late(made, 1)
        await desk.turn()
        assert (await desk.get(ada, made)).last_error is None

    at_desk(settings, scenario)


def test_runs_that_are_made_up_for_are_none_twice_after_a_crash(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=600, catch_up="all")
        await desk.late(made, 6001)
        for _ in range(3):
            with pytest.raises(asyncio.CancelledError):
                await desk.turn(Dying(desk.tasks))
            assert len(await desk.made(ada)) == 1
            await desk.released()
        await desk.turn()
        assert len(await desk.made(ada)) == 11

    at_desk(settings, scenario)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal, least_s", [(FULL, 5), (AWAY, 1)])
def test_a_refused_run_stays_due_and_is_tried_again_ever_later(
    settings: Settings, refusal: Exception, least_s: float
) -> None:
    async def scenario(desk: Desk) -> None:
        ada, bob = await desk.user(), await desk.user("bob")
        made, other = await desk.create(ada, every_s=3600), await desk.create(bob, every_s=3600)
        planned = await desk.late(made, 2)
        await desk.late(other, 1)
        refusing = Refusing(desk.tasks, refusal, only=ada.user_id)
        waits = []
        for _ in range(8):
            await desk.turn(refusing)
            waits.append(
                await desk.database.fetchval(
                    "SELECT extract(epoch FROM not_before - now())::float8 FROM schedules WHERE id = $1", made.id
                )
            )
            after = await desk.get(ada, made)
            assert (after.next_run_at, after.last_run, after.last_error) == (planned, None, str(refusal))
            await desk.turn(refusing)
            await desk.released()
        expected = [min(max(2.0**n, least_s), 60.0) for n in range(8)]
        assert all(want - 1 < wait <= want for want, wait in zip(expected, waits, strict=True)), waits
        assert await desk.made(ada) == [] and len(await desk.made(bob)) == 1
        await desk.turn()
        after = await desk.get(ada, made)
        assert [after.last_run and after.last_run.task_id] == await desk.made(ada) and after.last_error is None
        assert await desk.database.fetchval("SELECT max(refusals) FROM schedules") == 0

    at_desk(settings, scenario)


def test_a_refusal_in_the_middle_keeps_what_was_accepted(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=600, catch_up="all")
        planned = await desk.late(made, 6001)
        await desk.turn(Refusing(desk.tasks, FULL, takes=4))
        after = await desk.get(ada, made)
        assert len(await desk.made(ada)) == 4 and after.next_run_at == planned + timedelta(seconds=2400)
        assert after.last_run is not None and after.last_error == FULL.message
        await desk.released()
        await desk.turn()
        assert len(await desk.made(ada)) == 11

    at_desk(settings, scenario)


def test_a_run_refused_for_more_than_a_minute_is_dropped_where_it_is_to_be_skipped(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=3600, catch_up="skip")
        planned = await desk.late(made, 59)
        await desk.turn(Refusing(desk.tasks, FULL))
        assert (await desk.get(ada, made)).next_run_at == planned
        planned = await desk.late(made, 61)
        await desk.released()
        await desk.turn()
        assert (await desk.get(ada, made)).next_run_at == planned + timedelta(seconds=3600)
        assert await desk.made(ada) == []

    at_desk(settings, scenario)


class _Broken:
    """Tasks that fail on one user's in a way that nobody has thought of."""

    def __init__(self, tasks: Tasks, on: UUID) -> None:
        self._tasks = tasks
        self._on = on

    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]:
        if tasks[0].user_id == self._on:
            raise ZeroDivisionError
        return await self._tasks.accept(tasks)


def test_one_bad_schedule_stops_no_other(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, bob, eve = await desk.user(), await desk.user("bob"), await desk.user("eve")
        unreadable, broken = await desk.create(ada, every_s=60), await desk.create(eve, every_s=60)
        late = [unreadable, broken, *[await desk.create(bob, every_s=60) for _ in range(60)]]
        for number, schedule in enumerate(late):
            await desk.late(schedule, 4 - number / 100)
        await desk.database.execute("UPDATE schedules SET parameters = '\\x07aa' WHERE id = $1", unreadable.id)
        await desk.turn(_Broken(desk.tasks, eve.user_id))
        assert len(await desk.made(bob)) == 60 and await desk.made(ada) == await desk.made(eve) == []
        said = await desk.database.fetchval("SELECT last_error FROM schedules WHERE id = $1", unreadable.id)
        assert said == "its parameters cannot be read"
        assert (await desk.get(eve, broken)).last_error == "something went wrong on our side"
        await desk.released()
        await desk.turn()
        assert len(await desk.made(eve)) == 1

    at_desk(settings, scenario)


def test_a_time_that_never_comes_again_is_said(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, cron="0 0 * * *")
        await desk.late(made, 1)
        await desk.database.execute("UPDATE schedules SET cron = '0 0 */20 2 1#2'")
        await desk.turn()
        after = await desk.get(ada, made)
        assert after.last_error == "the cron expression '0 0 */20 2 1#2' never fires"
        assert await desk.made(ada) == []

    at_desk(settings, scenario)


# --- the owner's rights --------------------------------------------------------------------------------------------


def test_a_schedule_whose_owner_may_no_longer_does_not_run_and_says_so(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada, root = await desk.user(), await desk.user("root", "admin")
        made = await desk.create(ada, every_s=60)

        async def said(seconds: float = 1) -> str | None:
            planned = await desk.late(made, seconds)
            await desk.turn()
            after = await desk.get(root, made)
            assert after.next_run_at == planned + timedelta(seconds=60)
            return after.last_error

        await desk.users.set_access(ada.user_id, actor=root.user_id, roles=("auditor",), is_active=None)
        assert await said() == "it did not run: this needs the scope 'agents:execute'"
        assert await said() == "it did not run: this needs the scope 'agents:execute'"
        await desk.users.set_access(ada.user_id, actor=root.user_id, roles=("user",), is_active=False)
        assert await said() == "it did not run: the owner of the schedule is disabled"
        assert await desk.made(ada) == []
        refused = [act for act in await desk.acts() if act == ("start_due_tasks", "refused")]
        assert len(refused) == 2
        await desk.users.set_access(ada.user_id, actor=root.user_id, roles=None, is_active=True)
        assert await said() is None
        assert len(await desk.made(ada)) == 1

    at_desk(settings, scenario)


@pytest.mark.parametrize(
    "column, value, said",
    [
        ("task_id", "shout", "agent 'everything' has no tool 'shout'"),
        ("agent_type", "nobody", "no agent 'nobody'"),
        ("task_id", "get-env", "get-env takes no parameters"),
    ],
)
def test_a_tool_that_is_gone_or_changed_is_said(settings: Settings, column: str, value: str, said: str) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada, every_s=60)
        await desk.database.execute(f"UPDATE schedules SET {column} = $1", value)
        await desk.late(made, 1)
        await desk.turn()
        assert (await desk.get(ada, made)).last_error == f"it did not run: {said}"
        assert await desk.made(ada) == []

    at_desk(settings, scenario)


def test_a_plan_shows_what_decides_about_a_run(settings: Settings) -> None:
    async def scenario(desk: Desk) -> None:
        ada = await desk.user()
        made = await desk.create(ada)
        planned = await desk.schedules.plan(made.id, owner=ada.user_id)
        assert planned is not None
        assert planned == Planned(schedule=made, roles=frozenset({"user"}), is_active=True, refusals=0, now=planned.now)

    at_desk(settings, scenario)
