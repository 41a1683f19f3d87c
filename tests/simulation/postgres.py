"""The record in PostgreSQL, behind the same acts as the one in memory, under a clock that stands until it is set."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from unittest.mock import patch
from uuid import UUID

from shared.config import Settings
from shared.dialogue import Questions
from shared.errors import Conflict, IdempotencyMismatch, NotFound, Unavailable
from shared.ports.ledger import Ledger
from shared.ports.tasks import Claimed, NewTask, Outcome, Queue, TaskError, Tasks
from shared.ports.upkeep import Upkeep
from shared.stores.postgres import database as connections
from shared.stores.postgres.database import Database
from shared.strict_json import Json
from shared.task_states import Ran, State
from shared.wiring import Ports
from tests.simulation.record import PASSING, SECOND, Asked, Event, Held

T = TypeVar("T")

_START = datetime(2030, 1, 1, tzinfo=UTC)
_NOBODY = UUID(int=0)
# A function found before the server's own: every `now()` of a statement is this one.
_CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.time (at timestamptz NOT NULL);
INSERT INTO clock.time VALUES ('2030-01-01T00:00:00Z');
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM clock.time';
ALTER TABLE sutazai.agent_executions ALTER COLUMN created_at SET DEFAULT clock.now();
"""
_EMPTY = """
SET session_replication_role = replica;
DELETE FROM agent_executions; DELETE FROM workers; DELETE FROM events; DELETE FROM audit_log;
DELETE FROM dead_letters; DELETE FROM callbacks; DELETE FROM ledger; DELETE FROM task_progress;
DELETE FROM queue_depths; DELETE FROM task_questions;
RESET session_replication_role
"""
_ROWS = """
SELECT id, status, priority, max_attempts, created_at, expires_at, rank, due_at, started_at, finished_at, attempt,
    losses, fence, version, worker_id, attached, error ->> 'code' AS error
FROM agent_executions
"""
_TRACES = """
SELECT 'audit' AS what, object, action AS said, NULL::timestamptz AS at FROM audit_log WHERE action <> 'task.answer'
UNION ALL SELECT 'letter', event ->> 'subject', attempts::text, NULL FROM dead_letters
UNION ALL SELECT 'call', execution_id::text, NULL, due_at FROM callbacks WHERE due_at IS NOT NULL
UNION ALL SELECT 'effect', execution_id::text, step, NULL FROM ledger
UNION ALL SELECT 'progress', execution_id::text, percent::text, NULL FROM task_progress
"""


def at(us: int) -> datetime:
    return _START + timedelta(microseconds=us)


def us(when: datetime | None) -> int | None:
    return None if when is None else (when - _START) // timedelta(microseconds=1)


@contextmanager
def _clocked() -> Iterator[None]:
    session = connections._session

    def with_clock(name: str) -> dict[str, str]:
        # Nothing here has to wait for long, but a mutant of a statement may.
        return session(name) | {"search_path": "clock, sutazai, pg_catalog", "statement_timeout": "5s"}

    with patch.object(connections, "_session", with_clock):
        yield


@dataclass(frozen=True)
class Ground:
    """A database with its own clock, and the ports of tasks on it."""

    runner: asyncio.Runner
    tasks: Tasks
    queue: Queue
    upkeep: Upkeep
    ledger: Ledger
    database: Database

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(_bounded(work))

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """It goes on whenever something runs."""

        async def begun() -> asyncio.Task[T]:
            return asyncio.create_task(work)

        return self.run(begun())


async def _bounded(work: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(60):
        return await work


@contextmanager
def ground(settings: Settings) -> Iterator[Ground]:
    with asyncio.Runner() as runner, _clocked():
        opened = _opened(settings, runner)
        here = runner.run(opened.__aenter__())
        try:
            yield here
        finally:
            runner.run(opened.__aexit__(None, None, None))


@asynccontextmanager
async def _opened(settings: Settings, runner: asyncio.Runner) -> AsyncIterator[Ground]:
    async with Ports(settings) as ports:
        database = await ports.open(Database)
        await database.execute(_CLOCK)
        tasks, queue = await ports.open(Tasks), await ports.open(Queue)
        yield Ground(runner, tasks, queue, await ports.open(Upkeep), await ports.open(Ledger), database)


class PostgresRecord:
    """Empty at first. Numbers stand for ids, in order."""

    def __init__(self, here: Ground) -> None:
        self._here = here
        self._now = 0
        self._tasks: list[UUID] = []
        self._numbers: dict[UUID, int] = {}
        self._workers: dict[int, UUID] = {}
        self._worker_numbers: dict[UUID, int] = {}
        self._claims: dict[tuple[int, int], Claimed] = {}
        self._questions: dict[int, str] = {}
        here.run(here.database.execute(_EMPTY))
        self.now = 0

    @property
    def now(self) -> int:
        return self._now

    @now.setter
    def now(self, us: int) -> None:
        self._now = us
        self._here.run(self._here.database.execute("UPDATE clock.time SET at = $1", at(us)))

    # --- those who ask ------------------------------------------------------------------------------------------

    def accept(self, asked: Sequence[Asked]) -> list[int] | None:
        try:
            ids = self._here.run(self._here.tasks.accept([_new(one) for one in asked]))
        except IdempotencyMismatch:
            return None
        return [self._number(task_id) for task_id in ids]

    def _number(self, task_id: UUID) -> int:
        if task_id not in self._numbers:
            self._numbers[task_id] = len(self._tasks)
            self._tasks.append(task_id)
        return self._numbers[task_id]

    def cancel(self, user: int, task: int) -> bool | None:
        try:
            cancelled = self._here.run(self._here.tasks.cancel(_user(user), self._tasks[task]))
        except NotFound:
            return None
        except Conflict:
            return False
        assert cancelled.status == "cancelled"
        return True

    def cancel_all(self, user: int) -> int:
        return self._here.run(self._here.tasks.cancel_all(_user(user)))

    # --- workers ------------------------------------------------------------------------------------------------

    def join(self) -> int:
        number = len(self._workers) + 1
        worker = self._here.run(self._here.queue.join(["agent 0"], slot=f"place/{number}"))
        self._workers[number] = worker
        self._worker_numbers[worker] = number
        return number

    def beat(self, worker: int, held: Sequence[Held]) -> list[int] | None:
        claims = [self._claims[one.task, one.fence] for one in held]
        lost = self._here.run(self._here.queue.beat(self._workers[worker], claims))
        return None if lost is None else [self._numbers[task_id] for task_id in lost]

    def leave(self, worker: int) -> None:
        self._here.run(self._here.queue.leave(self._workers[worker]))

    def bury(self, worker: int) -> None:
        self._here.run(self._here.queue.bury("place")) if worker == 0 else self._boot(worker)

    def _boot(self, worker: int) -> None:
        """Another one takes its slot, and leaves again."""
        successor = self._here.run(self._here.queue.join(["agent 0"], slot=f"place/{worker}"))
        self._here.run(self._here.queue.leave(successor))

    def claim(self, worker: int, agent: int, tools: Collection[int], limit: int, *, lost: bool = True) -> list[Held]:
        named = [f"tool {tool}" for tool in tools]
        claiming = self._here.queue.claim(self._workers[worker], f"agent {agent}", named, limit, lost=lost)
        return [self._held(claimed) for claimed in self._here.run(claiming)]

    def _held(self, claimed: Claimed) -> Held:
        task = self._number(claimed.id)
        self._claims[task, claimed.fence] = claimed
        last = claimed.attempt >= claimed.max_attempts
        return Held(task, claimed.fence, claimed.attempt, claimed.losses, last)

    def finish(self, one: Held, status: Ran, *, error: str | None = None, back_off: int | None = None) -> bool:
        claimed = self._claims[one.task, one.fence]
        outcome = Outcome(status, one.fence, _error(error), None if back_off is None else back_off / SECOND)
        return self._here.run(self._here.queue.finish(claimed, outcome))

    def ask(self, one: Held) -> bool:
        key = f"question {one.fence}"
        outcome = Outcome("failed", error=_error("INPUT_REQUIRED"), asks=Questions({key: {}}))
        written = self._here.run(self._here.queue.finish(self._claims[one.task, one.fence], outcome))
        if written:
            self._questions[one.task] = key
        return written

    def answer(self, user: int, task: int) -> bool | None:
        said: dict[str, Json] = {self._questions.get(task, "none"): {}}
        try:
            return bool(self._here.run(self._here.tasks.answer(_user(user), self._tasks[task], said)))
        except NotFound:
            return None

    def attach(self, worker: int, asked: Asked) -> Held | None:
        try:
            return self._held(self._here.run(self._here.queue.attach(self._workers[worker], _new(asked))))
        except Unavailable:
            return None

    def note(self, asked: Asked, status: Ran, *, took: int, error: str | None = None) -> int:
        outcome = Outcome(status, 1, _error(error))
        return self._number(self._here.run(self._here.queue.record(_new(asked), outcome, took / SECOND)))

    def claimed(self, one: Held) -> Claimed:
        return self._claims[one.task, one.fence]

    def worker_id(self, worker: int) -> UUID:
        return self._workers[worker]

    def effect(self, one: Held, step: str) -> bool:
        claimed = self._claims[one.task, one.fence]
        return self._here.run(self._here.ledger.write(claimed.user_id, claimed.id, step, one.attempt))

    def report(self, one: Held, percent: float) -> None:
        self._here.run(self._here.queue.progress(self._claims[one.task, one.fence], percent, ""))

    # --- the keeper ---------------------------------------------------------------------------------------------

    def claimable(self) -> dict[int, int]:
        return {int(one.agent[6:]): one.wanted for one in self._here.run(self._here.upkeep.claimable())}

    def make_due(self) -> set[int]:
        return {int(agent[6:]) for agent in self._here.run(self._here.upkeep.make_due())}

    def expire(self) -> int:
        return self._here.run(self._here.upkeep.expire())

    def reap(self) -> set[int]:
        return {int(agent[6:]) for agent in self._here.run(self._here.upkeep.reap())}

    def number(self) -> int:
        return self._here.run(self._here.upkeep.number())

    # --- all that it holds --------------------------------------------------------------------------------------

    def rows(self) -> dict[int, State]:
        found = {
            self._number(row["id"]): State(
                status=row["status"],
                priority=row["priority"],
                max_attempts=row["max_attempts"],
                created_at=_us(row["created_at"]),
                expires_at=_us(row["expires_at"]),
                rank=us(row["rank"]),
                due_at=us(row["due_at"]),
                started_at=us(row["started_at"]),
                finished_at=us(row["finished_at"]),
                attempt=row["attempt"],
                losses=row["losses"],
                fence=row["fence"],
                version=row["version"],
                worker=row["worker_id"] and self._worker_numbers[row["worker_id"]],
                attached=row["attached"],
                error=row["error"],
            )
            for row in self._here.run(self._here.database.fetch(_ROWS))
        }
        return dict(sorted(found.items()))

    def events(self) -> list[Event]:
        rows = self._here.run(
            self._here.database.fetch(
                "SELECT type, subject, sequence, data FROM events WHERE starts_with(type, 'task.') ORDER BY position"
            )
        )
        return [
            Event(
                row["type"].split(".")[1],
                self._numbers[UUID(row["subject"])],
                row["sequence"],
                row["data"].get("attempt", row["data"].get("reason")),
            )
            for row in rows
        ]

    def letters(self) -> list[tuple[int, int]]:
        letters = "SELECT event ->> 'subject' AS task, attempts FROM dead_letters"
        rows = self._here.run(self._here.database.fetch(letters))
        return [(self._numbers[UUID(row["task"])], row["attempts"]) for row in rows]

    def traces(self) -> object:
        found = self._here.run(self._here.database.fetch(_TRACES))
        by_kind: dict[str, list[tuple[int, str, int | None]]] = {}
        for row in found:
            task = self._numbers[UUID(row["object"].rpartition("/")[2])]
            by_kind.setdefault(row["what"], []).append((task, row["said"], us(row["at"])))
        return (
            sorted((task, said.removeprefix("task.")) for task, said, _ in by_kind.get("audit", [])),
            sorted((task, int(said)) for task, said, _ in by_kind.get("letter", [])),
            {task: when for task, _, when in by_kind.get("call", [])},
            {(task, said) for task, said, _ in by_kind.get("effect", [])},
            {task: float(said) for task, said, _ in by_kind.get("progress", [])},
        )


def _us(when: datetime) -> int:
    return (when - _START) // timedelta(microseconds=1)


def _user(number: int) -> UUID:
    return UUID(int=number + 1)


def _error(code: str | None) -> TaskError | None:
    return None if code is None else TaskError(code=code, message="no", retryable=code in PASSING)


def _new(asked: Asked) -> NewTask:
    return NewTask(
        user_id=_user(asked.user),
        agent=f"agent {asked.agent}",
        tool=f"tool {asked.tool}",
        parameters={},
        priority=asked.priority,
        ttl_s=asked.ttl / SECOND,
        max_attempts=asked.max_attempts,
        key=asked.key,
        digest=None if asked.key is None else bytes([asked.digest]),
        callback_url="https://example.org/" if asked.calls_back else None,
    )
