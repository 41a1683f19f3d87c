"""Tasks, Queue and Upkeep against PostgreSQL: what is promised of a task, whoever dies, hurries or lies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.config import Settings
from shared.dialogue import SILENT, Dialogue
from shared.errors import Conflict, IdempotencyMismatch, NotFound, RateLimited, ToolError
from shared.perform import RunContext, failed
from shared.ports.ledger import Ledger
from shared.ports.tasks import TERMINAL, Claimed, NewTask, Outcome, Queue, Status, Task, TaskError, Tasks
from shared.ports.upkeep import Upkeep
from shared.stores.postgres import questions
from shared.stores.postgres import queue_sql as sql
from shared.stores.postgres import tasks as postgres_tasks
from shared.stores.postgres.database import Database, connect
from shared.stores.postgres.upkeep import _NUMBER
from shared.strict_json import Json
from shared.wiring import Ports

T = TypeVar("T")

ADA, BOB = UUID(int=0xADA), UUID(int=0xB0B)
TOOLS = ("ledger",)
DONE = Outcome("succeeded", {"said": "done"})
LATER = Outcome("failed", error=TaskError(code="SERVICE_UNAVAILABLE", message="later", retryable=True), retry_in_s=60)
RESULTS = ("task.succeeded.v1", "task.failed.v1", "task.cancelled.v1", "task.expired.v1")


@dataclass(frozen=True)
class House:
    """One process with the ports of tasks, and two hands in the database."""

    ports: Ports
    tasks: Tasks
    queue: Queue
    upkeep: Upkeep
    database: Database

    async def accept(self, *, agent: str = "everything", user: UUID = ADA, **more: Any) -> UUID:
        [task_id] = await self.tasks.accept([new(agent=agent, user=user, **more)])
        return task_id

    async def join(self, agent: str = "everything") -> UUID:
        return await self.queue.join([agent], slot=None)

    async def claim(
        self, worker: UUID, limit: int = 1, *, agent: str = "everything", lost: bool = True
    ) -> list[Claimed]:
        return await self.queue.claim(worker, agent, TOOLS, limit, lost=lost)

    async def begun(self, **more: Any) -> Claimed:
        """One task in the hands of a worker of its own."""
        await self.accept(**more)
        agent = more.get("agent", "everything")
        [task] = await self.claim(await self.join(agent), agent=agent)
        return task

    async def task(self, task_id: UUID, user: UUID = ADA) -> Task:
        task = await self.tasks.get(user, task_id)
        assert task is not None
        return task

    async def row(self, task_id: UUID) -> dict[str, Any]:
        row = await self.database.fetchrow("SELECT * FROM agent_executions WHERE id = $1", task_id)
        assert row is not None
        return dict(row)

    async def shift(self, task_id: UUID, **seconds: float) -> None:
        """Time passes for one task: `column=seconds` moves that column back."""
        for column, by in seconds.items():
            earlier = f"{column} = {column} - make_interval(secs => $2)"
            await self.database.execute(f"UPDATE agent_executions SET {earlier} WHERE id = $1", task_id, by)

    async def bury(self, *workers: UUID) -> None:
        """They are silent for longer than a worker may be."""
        silent = "alive_until = now() - interval '1 s'"
        await self.database.execute(f"UPDATE workers SET {silent} WHERE id = ANY($1)", workers)

    async def events(self, task_id: UUID) -> list[tuple[str, int]]:
        rows = await self.database.fetch(
            "SELECT type, sequence FROM events WHERE subject = $1 ORDER BY position", str(task_id)
        )
        return [(row["type"], row["sequence"]) for row in rows]


def new(*, agent: str = "everything", user: UUID = ADA, tool: str = "ledger", **more: Any) -> NewTask:
    return NewTask(**{"user_id": user, "agent": agent, "tool": tool, "parameters": {}, **more})


@asynccontextmanager
async def house(settings: Settings) -> AsyncIterator[House]:
    async with Ports(settings) as ports:
        tasks, queue, upkeep = await ports.open(Tasks), await ports.open(Queue), await ports.open(Upkeep)
        yield House(ports, tasks, queue, upkeep, await ports.open(Database))


def play(settings: Settings, scenario: Callable[[House], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30), house(settings) as here:
            return await scenario(here)

    return asyncio.run(bounded())


# --- order ---------------------------------------------------------------------------------------------------------


def test_the_most_urgent_task_is_claimed_first(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        low, urgent, normal = [await here.accept(priority=priority) for priority in (1, 9, 4)]
        claimed = await here.claim(await here.join(), 3)
        assert [task.id for task in claimed] == [urgent, normal, low]

    play(settings, scenario)


def test_a_low_task_that_waited_long_enough_overtakes_an_urgent_one(settings: Settings) -> None:
    """Eight steps of priority are worth forty minutes of waiting."""

    async def scenario(here: House) -> None:
        low = await here.accept(priority=1)
        urgent = await here.accept(priority=9)
        await here.shift(low, rank=39 * 60)
        worker = await here.join()
        assert [task.id for task in await here.claim(worker)] == [urgent]
        urgent = await here.accept(priority=9)
        await here.shift(low, rank=61 + 1)
        assert [task.id for task in await here.claim(worker, 2)] == [low, urgent]

    play(settings, scenario)


def test_a_user_with_few_tasks_does_not_wait_behind_all_of_one_with_many(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        await here.tasks.accept([new() for _ in range(500)])
        late = await here.accept(user=BOB)
        claimed = await here.claim(await here.join(), 100)
        assert late in [task.id for task in claimed]

    play(settings, scenario)


def test_tasks_of_one_request_are_claimed_in_their_order(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        ids = await here.tasks.accept([new(parameters={"n": n}) for n in range(100)])
        claimed = await here.claim(await here.join(), 100)
        assert [(task.id, task.parameters) for task in claimed] == [(i, {"n": n}) for n, i in enumerate(ids)]

    play(settings, scenario)


def test_an_accepted_task_is_queued_as_it_was_asked_for(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        retried = uuid4()
        task_id = await here.accept(parameters={"a": [1, None]}, priority=7, ttl_s=60, max_attempts=2, retry_of=retried)
        task = await here.task(task_id)
        assert task.created_at <= datetime.now(UTC)
        [event] = task.events
        assert event.type == "task.submitted.v1" and event.sequence == 1
        assert task.expires_at.timestamp() - task.created_at.timestamp() == pytest.approx(60)
        assert task.model_dump(exclude={"created_at", "expires_at", "events"}) == {
            "task_id": task_id,
            "agent_id": "everything",
            "task": "ledger",
            "status": "queued",
            "priority": 7,
            "timeout": 30_000,
            "parameters": {"a": [1, None]},
            "result": None,
            "error": None,
            "progress": 0.0,
            "message": "",
            "attempts": 0,
            "max_attempts": 2,
            "losses": 0,
            "retry_of": retried,
            "started_at": None,
            "finished_at": None,
            "execution_time": None,
        }

    play(settings, scenario)


def test_only_tools_that_the_worker_knows_are_claimed(settings: Settings) -> None:
    """Two versions may run side by side."""

    async def scenario(here: House) -> None:
        known, _ = await here.accept(), await here.accept(tool="of-a-newer-version")
        claimed = await here.claim(await here.join(), 10)
        assert [task.id for task in claimed] == [known]

    play(settings, scenario)


def test_a_user_sees_no_task_of_another(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task_id = await here.accept(user=ADA)
        assert await here.tasks.get(BOB, task_id) is None
        listed = await here.tasks.list(BOB, status=None, agent=None, since=None, limit=10, cursor=None)
        assert listed.tasks == [] and listed.next_cursor is None
        with pytest.raises(NotFound):
            await here.tasks.cancel(BOB, task_id)
        assert await here.tasks.cancel_all(BOB) == 0
        assert (await here.task(task_id)).status == "queued"

    play(settings, scenario)


# --- idempotency ---------------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_task(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        asked = [new(key=f"k {n}", digest=b"one") for n in range(3)]
        first = await here.tasks.accept(asked)
        assert await here.tasks.accept(asked) == first
        assert len(set(first)) == 3
        assert await here.database.fetchval("SELECT count(*) FROM agent_executions") == 3
        assert [await here.events(task_id) for task_id in first] == [[("task.submitted.v1", 1)]] * 3

    play(settings, scenario)


def test_two_users_may_use_the_same_key(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        adas = await here.accept(user=ADA, key="k 0", digest=b"one")
        bobs = await here.accept(user=BOB, key="k 0", digest=b"two")
        assert adas != bobs

    play(settings, scenario)


def test_a_key_with_another_body_is_refused_and_leaves_nothing(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        await here.accept(key="k 0", digest=b"one")
        with pytest.raises(IdempotencyMismatch):
            await here.accept(key="k 0", digest=b"two")
        # A longer request under the old key: its further tasks have keys that nobody has used yet.
        with pytest.raises(IdempotencyMismatch):
            await here.tasks.accept([new(key=f"k {n}", digest=b"three") for n in range(3)])
        assert await here.database.fetchval("SELECT count(*) FROM agent_executions") == 1
        assert await here.database.fetchval("SELECT count(*) FROM events") == 1

    play(settings, scenario)


def test_one_wrong_use_of_a_key_spoils_no_right_one_at_the_same_time(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        first = await here.accept(key="k 0", digest=b"one")
        asked = [new(key="k 0", digest=digest) for digest in (b"one", b"two", b"one", b"two", b"two")]
        answers = await asyncio.gather(*(here.tasks.accept([one]) for one in asked), return_exceptions=True)
        assert [a if isinstance(a, list) else type(a) for a in answers] == [
            [first],
            IdempotencyMismatch,
            [first],
            IdempotencyMismatch,
            IdempotencyMismatch,
        ]

    play(settings, scenario)


def test_fifty_requests_at_once_under_one_key_make_one_task(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        async with house(settings) as other:
            asked = [new(key="k 0", digest=b"one")]
            calls = [(here, other)[n % 2].tasks.accept(asked) for n in range(50)]
            answers = await asyncio.gather(*calls)
        [task_id] = {task_id for [task_id] in answers}
        assert await here.database.fetchval("SELECT count(*) FROM agent_executions") == 1
        assert await here.events(task_id) == [("task.submitted.v1", 1)]

    play(settings, scenario)


def test_two_requests_of_different_length_under_one_key_never_mix(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        async with house(settings) as other:
            for number in range(10):
                short = [new(key=f"k{number} {n}", digest=b"short") for n in range(2)]
                long = [new(key=f"k{number} {n}", digest=b"long") for n in range(5)]
                both = (here.tasks.accept(short), other.tasks.accept(long))
                answers = await asyncio.gather(*both, return_exceptions=True)
                [won] = [answer for answer in answers if isinstance(answer, list)]
                [lost] = [answer for answer in answers if not isinstance(answer, list)]
                assert isinstance(lost, IdempotencyMismatch)
                rows = await here.database.fetch(
                    "SELECT id FROM agent_executions WHERE idempotency_key LIKE $1", f"k{number} %"
                )
                assert {row["id"] for row in rows} == set(won)

    play(settings, scenario)


# --- holders -------------------------------------------------------------------------------------------------------


def test_two_workers_never_claim_the_same_task(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        ids = await here.tasks.accept([new() for _ in range(200)])
        workers = [await here.join() for _ in range(4)]

        async def claims(worker: UUID) -> list[UUID]:
            mine: list[UUID] = []
            while claimed := await here.claim(worker, 7):
                mine.extend(task.id for task in claimed)
            return mine

        taken = [task_id for mine in await asyncio.gather(*map(claims, workers)) for task_id in mine]
        # A row that another claim holds at that moment is skipped, so one more look may find some.
        taken += await claims(workers[0])
        assert sorted(taken) == sorted(ids)

    play(settings, scenario)


def test_a_worker_that_was_declared_dead_claims_nothing(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        await here.accept()
        worker = await here.join()
        await here.bury(worker)
        await here.upkeep.reap()
        assert await here.claim(worker) == []
        assert await here.queue.beat(worker, []) is None

    play(settings, scenario)


def test_a_task_ends_once_with_its_result(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(parameters={"n": 1})
        assert (held.parameters, held.attempt, held.losses, held.fence) == ({"n": 1}, 1, 0, 1)
        assert await here.queue.finish(held, DONE) is True
        assert await here.queue.finish(held, Outcome("succeeded", "again")) is False
        task = await here.task(held.id)
        assert (task.status, task.result, task.error, task.progress) == ("succeeded", {"said": "done"}, None, 100.0)
        assert task.started_at is not None and task.finished_at is not None
        assert task.created_at <= task.started_at <= task.finished_at
        assert task.execution_time == (task.finished_at - task.started_at).total_seconds() * 1000
        assert await here.events(held.id) == [
            ("task.submitted.v1", 1),
            ("task.started.v1", 2),
            ("task.succeeded.v1", 3),
        ]

    play(settings, scenario)


def test_a_zombie_writes_nothing(settings: Settings) -> None:
    """A worker that was stopped, declared dead, and goes on as if nothing had happened."""

    async def scenario(here: House) -> None:
        old = await here.begun()
        await here.bury((await here.row(old.id))["worker_id"])
        await here.upkeep.reap()
        [held] = await here.claim(await here.join())
        assert (held.id, held.fence) == (old.id, old.fence + 1)
        before = await here.row(old.id)
        assert await here.queue.finish(old, Outcome("succeeded", "late")) is False
        assert await here.queue.finish(old, LATER) is False
        await here.queue.progress(old, 99, "late")
        assert await here.row(old.id) == before
        assert (await here.task(old.id)).progress == 0.0
        assert await here.queue.finish(held, DONE) is True
        assert (await here.task(old.id)).result == {"said": "done"}

    play(settings, scenario)


def test_a_beat_names_what_is_no_longer_held(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        ids = await here.tasks.accept([new() for _ in range(3)])
        worker = await here.join()
        held = await here.claim(worker, 3)
        assert await here.queue.beat(worker, held) == []
        await here.tasks.cancel(ADA, ids[1])
        assert await here.queue.beat(worker, held) == [ids[1]]

    play(settings, scenario)


def test_a_claim_whose_answer_was_lost_is_taken_back_while_its_worker_lives(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        ids = await here.tasks.accept([new() for _ in range(2)])
        worker = await here.join()
        known, forgotten = await here.claim(worker, 2)
        assert [known.id, forgotten.id] == ids
        # What it was given since it beat last may be on its way to the worker.
        await here.queue.beat(worker, [known])
        assert (await here.task(forgotten.id)).status == "running"
        assert await here.queue.beat(worker, [known]) == []
        assert [(await here.task(task_id)).status for task_id in ids] == ["running", "queued"]
        [again] = await here.claim(worker)
        assert (again.id, again.attempt, again.losses, again.fence) == (forgotten.id, 1, 1, 2)

    play(settings, scenario)


def test_a_claim_that_is_under_way_is_not_taken_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(here: House) -> None:
        committed, answer = asyncio.Event(), asyncio.Event()

        async def slow(*_: object) -> Dialogue:
            committed.set()
            await answer.wait()
            return SILENT

        monkeypatch.setattr(questions, "dialogue", slow)
        task_id = await here.accept(dialogue=Dialogue(frozenset({"elicitation"})))
        worker = await here.join()
        claiming = asyncio.create_task(here.claim(worker))
        await committed.wait()
        for _ in range(3):
            assert await here.queue.beat(worker, []) == []
        answer.set()
        [held] = await claiming
        assert (held.id, held.fence, (await here.task(task_id)).status) == (task_id, 1, "running")
        for _ in range(2):
            assert await here.queue.beat(worker, [held]) == []
        assert await here.queue.finish(held, DONE) is True

    play(settings, scenario)


# --- cancel --------------------------------------------------------------------------------------------------------


def test_a_finish_that_loses_to_a_cancel_changes_nothing(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        cancelled = await here.tasks.cancel(ADA, held.id)
        assert (cancelled.status, cancelled.result) == ("cancelled", None)
        assert await here.queue.finish(held, DONE) is False
        assert await here.queue.finish(held, LATER) is False
        assert await here.task(held.id) == cancelled

    play(settings, scenario)


def test_a_cancel_that_loses_to_a_finish_is_told_how_the_task_ended(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        await here.queue.finish(held, DONE)
        with pytest.raises(Conflict) as refused:
            await here.tasks.cancel(ADA, held.id)
        assert refused.value.details == {"status": "succeeded"}
        assert (await here.task(held.id)).status == "succeeded"

    play(settings, scenario)


def test_of_a_cancel_and_a_finish_at_once_exactly_one_wins(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        ids = await here.tasks.accept([new() for _ in range(40)])
        held = await here.claim(await here.join(), 40)

        async def cancelled(task_id: UUID) -> bool:
            try:
                await here.tasks.cancel(ADA, task_id)
            except Conflict:
                return False
            return True

        finishes = asyncio.gather(*(here.queue.finish(task, DONE) for task in held))
        cancels = asyncio.gather(*map(cancelled, ids))
        for finish, cancel, task_id in zip(await finishes, await cancels, ids, strict=True):
            assert finish is not cancel
            assert (await here.task(task_id)).status == ("succeeded" if finish else "cancelled")

    play(settings, scenario)


def test_everything_of_a_disabled_user_ends(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        waiting, bobs = await here.accept(), await here.accept(user=BOB)
        assert await here.tasks.cancel_all(ADA) == 2
        assert [(await here.task(i)).status for i in (held.id, waiting)] == ["cancelled", "cancelled"]
        assert (await here.task(bobs, BOB)).status == "queued"
        assert await here.tasks.cancel_all(ADA) == 0

    play(settings, scenario)


def test_whoever_waits_is_told_of_the_end(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        waiting = asyncio.create_task(here.tasks.wait(ADA, held.id, 20))
        late = await here.tasks.wait(ADA, held.id, 0.05)
        assert late is not None and late.status == "running"
        await here.queue.finish(held, DONE)
        task = await waiting
        assert task is not None and task.status == "succeeded"
        assert task == (await here.task(held.id)).model_copy(update={"events": []})

    play(settings, scenario)


# --- the database guards itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_no_statement_changes_an_ended_task(settings: Settings, status: Status) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        if status in ("succeeded", "failed"):
            await here.queue.finish(held, replace(DONE, status=status))
        elif status == "cancelled":
            await here.tasks.cancel(ADA, held.id)
        else:
            await here.queue.finish(held, LATER)
            await here.shift(held.id, expires_at=7200)
            await here.upkeep.expire()
        before = await here.row(held.id)
        assert before["status"] == status
        for change in ("status = 'queued'", "status = 'succeeded'", "output_data = NULL", "fence = fence + 1"):
            with pytest.raises(asyncpg.CheckViolationError):
                await here.database.execute(f"UPDATE agent_executions SET {change} WHERE id = $1", held.id)
        assert await here.row(held.id) == before

    play(settings, scenario)


@pytest.mark.parametrize(
    "change",
    [
        "fence = fence - 1",
        "attempt = max_attempts + 1",
        "attempt = -1",
        "started_at = created_at - interval '1 s'",
        "worker_id = NULL",
        "status = 'succeeded', version = version + 1",
        "status = 'queued', rank = now()",
        "finished_at = now()",
    ],
)
def test_no_statement_breaks_a_running_task(settings: Settings, change: str) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        before = await here.row(held.id)
        with pytest.raises(asyncpg.CheckViolationError):
            await here.database.execute(f"UPDATE agent_executions SET {change} WHERE id = $1", held.id)
        assert await here.row(held.id) == before

    play(settings, scenario)


def test_times_are_ordered_though_transactions_overlap(settings: Settings) -> None:
    """`now()` is the start of a transaction: what it reads may have begun after it."""

    async def scenario(here: House) -> None:
        one, two = await connect(here.database.url), await connect(here.database.url)
        try:
            async with one.transaction(), two.transaction():
                await one.fetchval("SELECT now()")
                await two.fetchval("SELECT now()")
                task_id = await here.accept()
                await two.fetch(sql.CLAIM, await here.join(), "everything", list(TOOLS), 1, True)
                await here.database.fetchval("SELECT 1")
                cancelling = asyncio.create_task(one.fetch(sql.CANCEL, ADA, task_id))
                await _blocked(here)
                await two.execute("COMMIT; BEGIN")
                assert len(await cancelling) == 1
        finally:
            await one.close()
            await two.close()
        task = await here.task(task_id)
        assert task.status == "cancelled" and task.started_at is not None and task.finished_at is not None
        assert task.created_at <= task.started_at <= task.finished_at

    play(settings, scenario)


async def _blocked(here: House) -> None:
    """Until some transaction waits for another one's row."""
    waiting = "wait_event_type = 'Lock' AND datname = current_database()"
    while not await here.database.fetchval(f"SELECT EXISTS (SELECT FROM pg_stat_activity WHERE {waiting})"):
        await asyncio.sleep(0.01)


# --- attempts, losses, expiry --------------------------------------------------------------------------------------


def test_a_passing_error_queues_the_task_again_after_its_back_off(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(priority=9)
        assert await here.queue.finish(held, LATER) is True
        row = await here.row(held.id)
        assert (row["status"], row["rank"], row["worker_id"], row["finished_at"]) == ("queued", None, None, None)
        assert row["due_at"].timestamp() == pytest.approx(datetime.now(UTC).timestamp() + 60, abs=10)
        waits = await here.task(held.id)
        assert (waits.status, waits.error, waits.attempts) == ("queued", None, 1)

        worker = await here.join()
        assert await here.upkeep.make_due() == [] and await here.claim(worker) == []
        await here.shift(held.id, due_at=61)
        assert await here.upkeep.make_due() == ["everything"] and await here.upkeep.make_due() == []
        normal = await here.accept(priority=4)
        again, other = await here.claim(worker, 2)
        assert (again.id, again.attempt, again.fence, again.losses) == (held.id, 2, 2, 0)
        assert other.id == normal
        # What the first attempt met is no error of the one that runs now.
        assert (await here.task(held.id)).error is None
        assert await here.events(held.id) == [
            ("task.submitted.v1", 1),
            ("task.started.v1", 2),
            ("task.requeued.v1", 3),
            ("task.started.v1", 4),
        ]

    play(settings, scenario)


def test_the_last_attempt_ends_the_task(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun(max_attempts=2)
        await here.queue.finish(held, LATER)
        await here.shift(held.id, due_at=61)
        await here.upkeep.make_due()
        [held] = await here.claim(await here.join())
        assert (held.attempt, held.max_attempts) == (2, 2)
        await here.queue.finish(held, replace(LATER, retry_in_s=None))
        task = await here.task(held.id)
        assert (task.status, task.attempts, task.error) == ("failed", 2, LATER.error)

    play(settings, scenario)


def test_an_attempt_more_than_there_may_be_ends_its_task_and_stops_nobody(settings: Settings) -> None:
    """Whatever a worker asks for, of another version or in error."""

    async def scenario(here: House) -> None:
        held = await here.begun(max_attempts=1)
        assert await here.queue.finish(held, LATER) is True
        task = await here.task(held.id)
        assert (task.status, task.attempts, task.error) == ("failed", 1, LATER.error)
        attached = await here.queue.attach(await here.join(), new(max_attempts=1))
        assert await here.queue.finish(attached, LATER) is True
        assert (await here.task(attached.id)).status == "failed"
        neighbour = await here.accept()
        assert await here.upkeep.make_due() == []
        assert [task.id for task in await here.claim(await here.join(), 10)] == [neighbour]

    play(settings, scenario)


def test_of_two_ends_of_one_task_at_once_only_its_holders_is_said_to_be_written(settings: Settings) -> None:
    """Both in one batch: a worker was declared dead, and has claimed the same task again meanwhile."""

    async def scenario(here: House) -> None:
        old = await here.begun()
        await here.bury((await here.row(old.id))["worker_id"])
        await here.upkeep.reap()
        [held] = await here.claim(await here.join())
        ends = [(old, Outcome("succeeded", "old")), (held, DONE), (held, Outcome("succeeded", "again"))]
        assert await asyncio.gather(*(here.queue.finish(*end) for end in ends)) == [False, True, False]
        assert (await here.task(held.id)).result == {"said": "done"}

    play(settings, scenario)


def test_a_lost_worker_costs_neither_rank_nor_attempt(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        lost = await here.accept()
        rank = (await here.row(lost))["rank"]
        worker = await here.join()
        await here.claim(worker)
        other = await here.accept()
        assert await here.upkeep.reap() == []
        await here.bury(worker)
        assert await here.upkeep.reap() == ["everything"]
        row = await here.row(lost)
        assert (row["status"], row["rank"], row["losses"], row["attempt"], row["error"]) == ("queued", rank, 1, 0, None)
        first, second = await here.claim(await here.join(), 2)
        assert (first.id, first.attempt, first.losses, first.fence) == (lost, 1, 1, 2)
        assert second.id == other

    play(settings, scenario)


def test_whoever_was_not_silent_yet_at_the_time_given_keeps_its_task(settings: Settings) -> None:
    """The keeper asks as of then: its words may wait for a record that answers nobody, and so do beats."""

    async def scenario(here: House) -> None:
        held = await here.begun()
        at = await here.upkeep.clock()
        then = "UPDATE workers SET alive_until = $1"
        await here.database.execute(then, at)
        assert await here.database.fetchval("SELECT alive_until < now() FROM workers")
        assert await here.upkeep.reap(at) == []
        assert (await here.task(held.id)).status == "running"
        await here.database.execute(then, at - timedelta(microseconds=1))
        assert await here.upkeep.reap(at) == ["everything"]

    play(settings, scenario)


def test_the_records_clock_is_written_before_it_is_told(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        times = [await here.upkeep.clock() for _ in range(2)]
        assert times[0] < times[1]
        assert await here.database.fetchval("SELECT due_at FROM turns") == times[1]

    play(settings, scenario)


def test_a_task_under_which_five_workers_died_is_failed(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        task_id = await here.accept(max_attempts=1)
        for losses in range(5):
            worker = await here.join()
            [held] = await here.claim(worker)
            assert (held.losses, held.attempt) == (losses, 1)
            await here.bury(worker)
            await here.upkeep.reap()
        task = await here.task(task_id)
        assert (task.status, task.losses) == ("failed", 5)
        assert task.error == TaskError(code="WORKER_LOST", message="its workers died 5 times", retryable=True)
        assert [event for event, _ in await here.events(task_id)].count("task.failed.v1") == 1

    play(settings, scenario)


def test_an_input_that_cannot_be_read_ends_its_task_and_no_other(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        sealed, fine = await here.accept(), await here.accept()
        await here.database.execute("UPDATE agent_executions SET input_data = '\\xff00' WHERE id = $1", sealed)
        worker = await here.join()
        assert [task.id for task in await here.claim(worker, 10)] == [fine]
        row = await here.database.fetchrow("SELECT status, error FROM agent_executions WHERE id = $1", sealed)
        assert row is not None
        assert row["status"] == "failed"
        assert row["error"]["message"] == "the task's input cannot be read"

    play(settings, scenario)


@pytest.mark.parametrize("farewell", ["leave", "join", "up"])
def test_what_a_leaving_worker_held_is_queued_at_once(settings: Settings, farewell: str) -> None:
    """It leaves by itself, its slot boots anew, or the whole machine does."""

    async def scenario(here: House) -> None:
        task_id = await here.accept()
        worker = await here.queue.join(["everything"], slot="machine/1")
        await here.claim(worker)
        if farewell == "leave":
            await here.queue.leave(worker)
        elif farewell == "join":
            await here.queue.join(["everything"], slot="machine/1")
        else:
            await here.queue.bury("machine")
        task = await here.task(task_id)
        assert (task.status, task.losses, task.attempts) == ("queued", 0 if farewell == "leave" else 1, 0)

    play(settings, scenario)


def test_a_claim_of_a_worker_that_is_gone_is_taken_back(settings: Settings) -> None:
    """Its row was deleted between its claim's look at it and the claim's commit."""

    async def scenario(here: House) -> None:
        held = await here.begun()
        await here.database.execute("DELETE FROM workers")
        assert await here.upkeep.reap() == ["everything"]
        task = await here.task(held.id)
        assert (task.status, task.losses, task.attempts) == ("queued", 1, 0)
        assert await here.queue.finish(held, DONE) is False or task.status == "queued"

    play(settings, scenario)


def test_an_attached_task_without_its_worker_is_failed_and_never_run_again(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        worker = await here.join()
        held = await here.queue.attach(worker, new(max_attempts=1, parameters={"n": 1}))
        assert (held.parameters, held.attempt, held.fence) == ({"n": 1}, 1, 1)
        assert (await here.task(held.id)).status == "running"
        await here.bury(worker)
        assert await here.upkeep.reap() == ["everything"]
        task = await here.task(held.id)
        assert task.status == "failed"
        assert task.error == TaskError(code="CALLER_LOST", message="caller lost", retryable=True)
        assert await here.claim(await here.join(), 10) == []
        assert await here.events(held.id) == [("task.started.v1", 1), ("task.failed.v1", 2)]

    play(settings, scenario)


def test_a_recorded_read_is_one_row_that_has_ended(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        news = [new(max_attempts=1, parameters={"n": n}) for n in range(40)]
        error = Outcome("failed", error=TaskError(code="TOOL_ERROR", message="no"))
        outcomes = [Outcome("succeeded", n) if n % 2 else error for n in range(40)]
        ids = await asyncio.gather(*(here.queue.record(*pair, 0.5) for pair in zip(news, outcomes, strict=True)))
        for n, task_id in enumerate(ids):
            task = await here.task(task_id)
            assert (task.status, task.result, task.error) == (outcomes[n].status, outcomes[n].result, outcomes[n].error)
            assert (task.parameters, task.attempts, task.execution_time) == ({"n": n}, 1, 500.0)
            assert await here.events(task_id) == [(f"task.{task.status}.v1", 1)]

    play(settings, scenario)


def test_nothing_starts_after_it_has_expired(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        expired, waiting = await here.accept(ttl_s=5), await here.accept(ttl_s=3600)
        await here.shift(expired, created_at=10, expires_at=10)
        worker = await here.join()
        assert [task.id for task in await here.claim(worker, 10)] == [waiting]
        assert await here.upkeep.expire() == 1 and await here.upkeep.expire() == 0
        task = await here.task(expired)
        assert (task.status, task.attempts, task.started_at) == ("expired", 0, None)
        assert await here.events(expired) == [("task.submitted.v1", 1), ("task.expired.v1", 2)]

    play(settings, scenario)


def test_all_that_expire_together_do_so_at_once(settings: Settings) -> None:
    """More than one transaction ends."""

    async def scenario(here: House) -> None:
        count = 2 * sql.EXPIRED_AT_ONCE + 1
        ids = await here.tasks.accept([new(ttl_s=5) for _ in range(count)])
        passed = "created_at = created_at - interval '10 s', expires_at = expires_at - interval '10 s'"
        await here.database.execute(f"UPDATE agent_executions SET {passed}")
        assert await here.upkeep.expire() == count
        expired = "SELECT count(*) FROM agent_executions WHERE id = ANY($1) AND status = 'expired'"
        assert await here.database.fetchval(expired, ids) == count

    play(settings, scenario)


def test_a_lost_task_past_its_expiry_expires_and_a_task_in_back_off_too(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        lost, backing_off = await here.begun(), await here.begun()
        await here.queue.finish(backing_off, LATER)
        for held in (lost, backing_off):
            await here.shift(held.id, expires_at=3601)
        await here.bury((await here.row(lost.id))["worker_id"])
        await here.upkeep.reap()
        await here.upkeep.expire()
        assert [(await here.task(held.id)).status for held in (lost, backing_off)] == ["expired", "expired"]

    play(settings, scenario)


def test_progress_is_seen_until_the_end(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        await here.queue.progress(held, 40, "almost")
        task = await here.task(held.id)
        assert (task.progress, task.message) == (40.0, "almost")
        await here.queue.progress(held, 250, "x" * 1000)
        task = await here.task(held.id)
        assert (task.progress, task.message) == (100.0, "x" * 500)
        await here.queue.finish(held, replace(LATER, retry_in_s=None))
        await here.queue.progress(held, 1, "late")
        assert (await here.task(held.id)).progress == 100.0

    play(settings, scenario)


def test_what_a_tool_says_is_recorded_whatever_characters_it_has(settings: Settings) -> None:
    """It quotes files, whose content and names need not be text; one refused message would keep a batch from ending."""

    async def scenario(here: House) -> None:
        held = await here.begun()
        run = RunContext(ADA, held.id, 1)
        run.progress(float("nan"), "a\0b\udc80c")
        assert run.latest is not None
        await here.queue.progress(held, *run.latest)
        task = await here.task(held.id)
        assert (task.progress, task.message) == (0.0, "a\ufffdb\ufffdc")
        assert await here.queue.finish(held, failed(ToolError("no \0 in 'caf\udce9'")))
        error = (await here.task(held.id)).error
        assert error == TaskError(code="TOOL_ERROR", message="no \ufffd in 'caf\ufffd'")

    play(settings, scenario)


# --- what accepting refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["max_queued_per_user", "max_queued_per_agent"])
def test_full_queues_refuse_and_take_again_once_they_are_shorter(settings: Settings, bound: str) -> None:
    bounded = replace(settings, **{bound: 20})  # type: ignore[arg-type]

    async def scenario(here: House) -> None:
        held = [await here.begun(agent="other")]
        ids = await here.tasks.accept([new() for _ in range(20)])
        await here.upkeep.claimable()
        async with house(bounded) as fresh:
            with pytest.raises(RateLimited) as refused:
                await fresh.accept()
            reset_at = refused.value.details["reset_at"]
            assert refused.value.details == {"limit": 20, "remaining": 0, "reset_at": reset_at, "retry_after": 5}
            assert await fresh.accept(agent="other")
            if bound == "max_queued_per_user":
                assert await fresh.accept(user=BOB)
        for task_id in ids:
            await here.tasks.cancel(ADA, task_id)
        await here.upkeep.claimable()
        async with house(bounded) as fresh:
            assert await fresh.accept()
        assert held

    play(bounded, scenario)


def test_a_burst_is_refused_though_nobody_has_counted_it_yet(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All of it is one burst, however slow the machine.
    monkeypatch.setattr(postgres_tasks, "_DEPTHS_S", 60.0)
    bounded = replace(settings, max_queued_per_user=20)

    async def scenario(here: House) -> None:
        await here.tasks.accept([new() for _ in range(18)])
        with pytest.raises(RateLimited):
            await here.tasks.accept([new() for _ in range(3)])
        assert await here.accept(agent="other")
        assert await here.accept(user=BOB)
        assert await here.tasks.accept([new() for _ in range(2)])

    play(bounded, scenario)


def test_a_request_that_is_refused_is_refused_whole(settings: Settings) -> None:
    bounded = replace(settings, max_queued_per_agent=20)

    async def scenario(here: House) -> None:
        with pytest.raises(RateLimited):
            await here.tasks.accept([*(new(agent="other") for _ in range(5)), *(new() for _ in range(21))])
        assert await here.database.fetchval("SELECT count(*) FROM agent_executions") == 0

    play(bounded, scenario)


def test_wake_ups_are_wanted_for_claimable_tasks_only(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        await here.tasks.accept([new() for _ in range(40)])
        await here.accept(agent="other")
        backing_off = await here.begun(agent="third")
        await here.queue.finish(backing_off, LATER)
        wanted = {wake_up.agent: wake_up.wanted for wake_up in await here.upkeep.claimable()}
        assert wanted == {"everything": 32, "other": 1}

    play(settings, scenario)


# --- events and the audit trail ------------------------------------------------------------------------------------


def test_a_tailing_reader_misses_no_event_though_transactions_overlap(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        one, two = await connect(here.database.url), await connect(here.database.url)
        insert = "INSERT INTO events (type, source, subject, data) VALUES ('t', 's', $1, '{}')"
        seen: list[str] = []
        last = 0

        async def tail() -> None:
            nonlocal last
            await here.upkeep.number()
            query = "SELECT seq, subject FROM events WHERE seq > $1 ORDER BY seq"
            for row in await here.database.fetch(query, last):
                seen.append(row["subject"])
                last = row["seq"]

        try:
            for round_ in range(10):
                first, second = one.transaction(), two.transaction()
                await first.start()
                await second.start()
                await one.execute(insert, f"{round_} first")
                await two.execute(insert, f"{round_} second")
                await tail()
                await one.execute(insert, f"{round_} first again")
                # The younger one commits first: its events must wait for those of the older.
                await second.commit()
                await tail()
                assert f"{round_} second" not in seen
                await first.commit()
                await tail()
        finally:
            await one.close()
            await two.close()
        expected = [f"{n} {which}" for n in range(10) for which in ("first", "first again", "second")]
        assert seen == expected

    play(settings, scenario)


def test_two_keepers_number_no_event_twice(settings: Settings) -> None:
    """One that was cut off may still be about to commit when the next one is active already."""

    async def scenario(here: House) -> None:
        await here.accept()
        late = await connect(here.database.url)
        try:
            async with late.transaction():
                await late.fetch(_NUMBER, "0")
                numbers = await late.fetch("SELECT position, seq FROM events")
                await here.accept()
                active = asyncio.create_task(here.upkeep.number())
                await _blocked(here)
            await active
        finally:
            await late.close()
        await here.upkeep.number()
        rows = await here.database.fetch("SELECT position, seq FROM events ORDER BY seq")
        assert [row["position"] for row in rows] == [1, 2]
        assert tuple(rows[0]) == tuple(numbers[0])

    play(settings, scenario)


async def _sealed(here: House) -> None:
    """Three seals over the ends of nine tasks."""
    for _ in range(3):
        ids = await here.tasks.accept([new() for _ in range(3)])
        for task_id in ids:
            await here.tasks.cancel(ADA, task_id)
        assert await here.upkeep.seal() == 3
    assert await here.upkeep.seal() == 0


def test_every_end_leaves_one_sealed_audit_line(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        held = await here.begun()
        await here.queue.finish(held, LATER)
        await here.tasks.cancel(ADA, held.id)
        other = await here.begun()
        await here.queue.finish(other, DONE)
        assert await here.upkeep.seal() == 2
        assert await here.upkeep.verify() is None
        rows = await here.database.fetch("SELECT actor, action, object, outcome, seal FROM audit_log ORDER BY id")
        assert [tuple(row) for row in rows] == [
            (f"user:{ADA}", "task.cancelled", f"everything/ledger/{held.id}", "done", 1),
            (f"user:{ADA}", "task.succeeded", f"everything/ledger/{other.id}", "done", 1),
        ]

    play(settings, scenario)


def test_a_line_of_a_transaction_that_still_runs_is_sealed_once_it_has_ended(settings: Settings) -> None:
    async def scenario(here: House) -> None:
        slow = await connect(here.database.url)
        line = "INSERT INTO audit_log (actor, action, object, outcome) VALUES ('a', 'b', $1, 'done')"
        try:
            async with slow.transaction():
                await slow.execute(line, "slow")
                await here.database.execute(line, "quick")
                assert await here.upkeep.seal() == 0
            assert await here.upkeep.seal() == 2
        finally:
            await slow.close()
        assert await here.upkeep.verify() is None

    play(settings, scenario)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET outcome = 'refused' WHERE id = 5",
        "UPDATE audit_log SET seal = NULL WHERE id = 5",
        "DELETE FROM audit_log WHERE id = 5",
        "TRUNCATE audit_log",
        "UPDATE audit_seals SET lines = 2",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
    ],
)
def test_the_audit_trail_is_append_only(settings: Settings, statement: str) -> None:
    async def scenario(here: House) -> None:
        await _sealed(here)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await here.database.execute(statement)
        assert await here.upkeep.verify() is None

    play(settings, scenario)


@pytest.mark.parametrize(
    "statements, broken",
    [
        ("UPDATE audit_log SET outcome = 'refused' WHERE id = 5", 2),
        ("UPDATE audit_log SET at = at + interval '1 us' WHERE id = 5", 2),
        ("DELETE FROM audit_log WHERE id = 5", 2),
        ("UPDATE audit_log a SET object = b.object FROM audit_log b WHERE (a.id, b.id) IN ((2, 8), (8, 2))", 1),
        ("UPDATE audit_log SET seal = 2 WHERE id = 3", 1),
        ("INSERT INTO audit_log (actor, action, object, outcome, seal) VALUES ('a', 'b', 'c', 'done', 2)", 2),
        ("DELETE FROM audit_log WHERE seal = 3; DELETE FROM audit_seals WHERE id = 2", 2),
        ("DELETE FROM audit_seals WHERE id = 3", 3),
        ("DELETE FROM audit_log WHERE seal = 3", 3),
        ("TRUNCATE audit_log", 1),
        ("TRUNCATE audit_seals", 1),
        ("DELETE FROM audit_log WHERE seal = 1; DELETE FROM audit_seals WHERE id = 1", 1),
        ("UPDATE audit_seals SET digest = (SELECT digest FROM audit_seals WHERE id = 1) WHERE id = 2", 2),
        ("UPDATE audit_seals SET signature = (SELECT signature FROM audit_seals WHERE id = 1) WHERE id = 2", 2),
    ],
)
def test_tampering_with_what_is_sealed_is_found(settings: Settings, statements: str, broken: int) -> None:
    """By one who may switch the triggers off."""

    async def scenario(here: House) -> None:
        await _sealed(here)
        await here.database.execute(f"SET session_replication_role = replica; {statements}; RESET ALL")
        assert await here.upkeep.verify() == broken

    play(settings, scenario)


# --- any order of events, which `test_task_input` plays with questions among them ---------------------------------


@dataclass
class _Model:
    """What must be true of one task."""

    user: UUID
    max_attempts: int
    status: str = "queued"
    fence: int = 0
    attempt: int = 0
    losses: int = 0
    version: int = 1
    worker: UUID | None = None
    backing_off: bool = False
    expired: bool = False
    result: Json = None

    @property
    def claimable(self) -> bool:
        return self.status == "queued" and not self.backing_off and not self.expired

    def moves(self, status: str) -> None:
        self.status, self.worker = status, None
        self.version += 1


class _Machine(RuleBasedStateMachine):
    """P1-P6, P8, P10 and P11, over the real statements. `house` and `runner` are set by the test."""

    runner: asyncio.Runner
    house: House

    def __init__(self) -> None:
        super().__init__()
        self.agent = f"agent-{uuid4()}"
        self.models: dict[UUID, _Model] = {}
        self.workers: list[UUID] = []
        self.claims: list[Claimed] = []
        self.keys: dict[tuple[UUID, str], UUID] = {}
        self.ended: dict[UUID, dict[str, Any]] = {}

    def _run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize()
    def workers_join(self) -> None:
        self.workers = [self._run(self.house.join(self.agent)) for _ in range(2)]

    @rule(user=st.sampled_from([ADA, BOB]), priority=st.integers(0, 9), attempts=st.integers(1, 3), n=st.integers(1, 3))
    def submit(self, user: UUID, priority: int, attempts: int, n: int) -> None:
        asked = [new(agent=self.agent, user=user, priority=priority, max_attempts=attempts) for _ in range(n)]
        for task_id in self._run(self.house.tasks.accept(asked)):
            self.models[task_id] = _Model(user, attempts)

    @rule(user=st.sampled_from([ADA, BOB]), key=st.sampled_from(["one", "two"]))
    def submit_under_a_key(self, user: UUID, key: str) -> None:
        asked = new(agent=self.agent, user=user, key=f"{self.agent} {key}", digest=b"")
        [task_id] = self._run(self.house.tasks.accept([asked]))
        if self.keys.setdefault((user, key), task_id) == task_id:
            self.models.setdefault(task_id, _Model(user, 3))
        assert self.keys[user, key] == task_id

    @rule(which=st.integers(0, 1), limit=st.integers(1, 3), lost=st.booleans())
    def claim(self, which: int, limit: int, lost: bool) -> None:
        worker = self.workers[which]
        claimed = self._run(self.house.claim(worker, limit, agent=self.agent, lost=lost))
        claimable = [model for model in self.models.values() if model.claimable and (lost or not model.losses)]
        assert len(claimed) == min(limit, len(claimable))
        for task in claimed:
            model = self.models[task.id]
            assert model.claimable
            model.moves("running")
            model.worker, model.fence, model.attempt = worker, model.fence + 1, model.attempt + 1
            assert (task.fence, task.attempt, task.losses) == (model.fence, model.attempt, model.losses)
        self.claims.extend(claimed)

    def _holds(self, task: Claimed) -> bool:
        model = self.models[task.id]
        return model.status == "running" and model.fence == task.fence

    @rule(draw=st.data(), status=st.sampled_from(["succeeded", "failed"]))
    def finish(self, draw: st.DataObject, status: Any) -> None:
        """By whoever ever had it, and its effect with it."""
        if not self.claims:
            return
        task = draw.draw(st.sampled_from(self.claims))
        ledger: Ledger = self._run(self.house.ports.open(Ledger))
        self._run(ledger.write(task.user_id, task.id, "effect", task.attempt))
        holds = self._holds(task)
        outcome = Outcome(status, task.fence, error=None if status == "succeeded" else LATER.error)
        assert self._run(self.house.queue.finish(task, outcome)) is holds
        if holds:
            self.models[task.id].moves(status)
            self.models[task.id].result = task.fence if status == "succeeded" else None

    @rule(draw=st.data())
    def fail_for_now(self, draw: st.DataObject) -> None:
        tries = [task for task in self.claims if task.attempt < task.max_attempts]
        if not tries:
            return
        task = draw.draw(st.sampled_from(tries))
        holds = self._holds(task)
        assert self._run(self.house.queue.finish(task, LATER)) is holds
        if holds:
            self.models[task.id].moves("queued")
            self.models[task.id].backing_off = True

    @rule(draw=st.data())
    def cancel(self, draw: st.DataObject) -> None:
        if not self.models:
            return
        task_id = draw.draw(st.sampled_from(list(self.models)))
        model = self.models[task_id]
        ends = model.status not in TERMINAL
        if ends:
            assert self._run(self.house.tasks.cancel(model.user, task_id)).status == "cancelled"
            model.moves("cancelled")
            return
        with pytest.raises(Conflict) as refused:
            self._run(self.house.tasks.cancel(model.user, task_id))
        assert refused.value.details == {"status": model.status}

    @rule(which=st.integers(0, 1), in_order=st.booleans())
    def a_worker_ends(self, which: int, in_order: bool) -> None:
        worker = self.workers[which]
        if in_order:
            self._run(self.house.queue.leave(worker))
        else:
            self._run(self.house.bury(worker))
            self._run(self.house.upkeep.reap())
        for model in self.models.values():
            if model.worker == worker:
                model.losses += not in_order
                if model.losses == 5:
                    model.moves("failed")
                else:
                    model.moves("expired" if model.expired else "queued")
                    model.attempt -= model.status == "queued"
        self.workers[which] = self._run(self.house.join(self.agent))

    @rule(draw=st.data())
    def a_deadline_passes(self, draw: st.DataObject) -> None:
        waiting = [task_id for task_id, model in self.models.items() if model.status not in TERMINAL]
        if not waiting:
            return
        task_id = draw.draw(st.sampled_from(waiting))
        self._run(self.house.shift(task_id, expires_at=3601))
        self.models[task_id].expired = True

    @rule()
    def the_keeper_expires(self) -> None:
        self._run(self.house.upkeep.expire())
        for model in self.models.values():
            if model.expired and model.status == "queued":
                model.moves("expired")

    @rule()
    def back_offs_end(self) -> None:
        for task_id, model in self.models.items():
            if model.backing_off and model.status == "queued":
                self._run(self.house.shift(task_id, due_at=61))
                model.backing_off = False
        self._run(self.house.upkeep.make_due())

    @invariant()
    def the_record_is_as_modelled(self) -> None:
        rows = self._run(
            self.house.database.fetch(
                "SELECT e.*, (SELECT array_agg(v.type || ' ' || v.sequence ORDER BY v.position) FROM events v"
                " WHERE v.subject = e.id::text) AS events,"
                " (SELECT count(*) FROM ledger l WHERE l.execution_id = e.id) AS effects"
                " FROM agent_executions e WHERE agent_type = $1",
                self.agent,
            )
        )
        assert {row["id"] for row in rows} == set(self.models)
        for row in rows:
            model = self.models[row["id"]]
            found = (row["status"], row["fence"], row["attempt"], row["losses"], row["version"])
            assert found == (model.status, model.fence, model.attempt, model.losses, model.version)
            assert row["attempt"] <= row["max_attempts"] == model.max_attempts
            assert row["effects"] <= 1
            if model.status == "running":
                assert row["worker_id"] == model.worker
            assert [int(event.split()[1]) for event in row["events"]] == list(range(1, model.version + 1))
            ends = [event for event in row["events"] if event.split()[0] in RESULTS]
            assert ends == ([f"task.{model.status}.v1 {model.version}"] if model.status in TERMINAL else [])
            if model.status in TERMINAL:
                assert row["created_at"] <= (row["started_at"] or row["created_at"]) <= row["finished_at"]
                assert self.ended.setdefault(row["id"], dict(row)) | {"effects": row["effects"]} == dict(row)

    def teardown(self) -> None:
        """Whatever happened: after it everything ends (P1)."""
        for task_id in [i for i, model in self.models.items() if model.status not in TERMINAL]:
            self._run(self.house.shift(task_id, expires_at=7200))
        self._run(self.house.bury(*self.workers))
        self._run(self.house.upkeep.reap())
        self._run(self.house.upkeep.expire())
        left = self._run(
            self.house.database.fetchval(
                "SELECT count(*) FROM agent_executions WHERE agent_type = $1 AND finished_at IS NULL", self.agent
            )
        )
        assert left == 0
