"""Tasks, seen from two sides: Tasks for those who ask, Queue for those who do the work."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from shared.dialogue import SILENT, Dialogue, Questions
from shared.strict_json import Json, dump, load

Status = Literal["queued", "running", "succeeded", "failed", "cancelled", "expired"]
TERMINAL: frozenset[Status] = frozenset({"succeeded", "failed", "cancelled", "expired"})


class TaskError(BaseModel):
    code: str
    message: str
    retryable: bool = False


class _Shown(BaseModel):
    # Whoever runs tasks shows none.
    model_config = ConfigDict(defer_build=True)


class TaskEvent(_Shown):
    """One change of a task's state; `sequence` counts them."""

    type: str
    sequence: int
    at: datetime


class Task(_Shown):
    """One execution of an agent's action. `timeout` and `execution_time`, of the last attempt, are in ms."""

    task_id: UUID
    agent_id: str
    task: str
    status: Status
    priority: int
    timeout: int
    parameters: dict[str, JsonValue]
    result: JsonValue = None
    error: TaskError | None = None
    progress: float = 0.0
    message: str = ""
    attempts: int
    max_attempts: int
    losses: int
    retry_of: UUID | None = None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime
    execution_time: float | None
    events: list[TaskEvent] = []


class TaskList(_Shown):
    tasks: list[Task]
    next_cursor: str | None


# What each call makes one of is not frozen, here and below: that would double what it costs.
@dataclass(slots=True, kw_only=True)
class NewTask:
    user_id: UUID
    agent: str
    tool: str
    parameters: Mapping[str, Json]
    priority: int = 4
    timeout_ms: int = 30_000
    ttl_s: float = 3600
    max_attempts: int = 3
    retry_of: UUID | None = None
    # The key and a digest of the request that it stands for.
    key: str | None = None
    digest: bytes | None = None
    # Who is told of its end.
    callback_url: str | None = field(default=None, repr=False)
    dialogue: Dialogue = SILENT


def once_more(old: Task, user_id: UUID, *, key: str | None, digest: bytes | None) -> NewTask:
    """The same task as a new one that names the old."""
    return NewTask(
        user_id=user_id,
        agent=old.agent_id,
        tool=old.task,
        parameters=old.parameters,
        priority=old.priority,
        timeout_ms=old.timeout,
        ttl_s=(old.expires_at - old.created_at).total_seconds(),
        max_attempts=old.max_attempts,
        retry_of=old.task_id,
        key=key,
        digest=digest,
    )


@dataclass(slots=True)
class Outcome:
    """What a worker found: the end of a task, or, with `retry_in_s`, `asks` or `detaches`, only of this attempt.

    With `record_away` it failed since the record could not be reached, which counts for no attempt once it is back.
    `cancelled` only tells an attached caller that the task had ended before its outcome could be written. `written`:
    the result as JSON, where that is how it came; then `value` is not there.
    """

    status: Literal["succeeded", "failed", "cancelled"]
    value: Json = None
    error: TaskError | None = None
    retry_in_s: float | None = None
    written: bytes | None = field(default=None, repr=False)
    asks: Questions | None = None
    detaches: bool = False
    record_away: bool = False

    @property
    def result(self) -> Json:
        """Most of those that were written are only passed on."""
        return self.value if self.written is None else load(self.written)

    def as_json(self) -> bytes:
        return dump(self.value) if self.written is None else self.written


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A task in the hands of a worker. An older fence writes nothing."""

    user_id: UUID
    id: UUID
    agent: str
    tool: str
    parameters: dict[str, Json] = field(repr=False)
    timeout_ms: int
    attempt: int
    max_attempts: int
    losses: int
    fence: int
    dialogue: Dialogue = SILENT


class Tasks(Protocol):
    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]:
        """Their ids, in order; once this returns they are safe, all or none. The same key gives the same id.

        Raises IdempotencyMismatch, RateLimited (queues full) and Unavailable.
        """

    async def get(self, user_id: UUID, task_id: UUID) -> Task | None: ...

    async def list(
        self,
        user_id: UUID,
        *,
        status: Status | None,
        agent: str | None,
        since: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> TaskList:
        """Newest first, without events. Raises Invalid for a cursor that is none of ours."""

    async def wait(self, user_id: UUID, task_id: UUID, timeout_s: float) -> Task | None:
        """The task once it has ended, or as it is when the time is up; without its events."""

    async def questions(self, user_id: UUID, task_id: UUID) -> Mapping[str, Json]:
        """What a task waits for its client to answer, by key, as MCP words requests; empty where it does not."""

    async def answer(self, user_id: UUID, task_id: UUID, answers: Mapping[str, Json]) -> frozenset[str]:
        """The keys whose question was open: of two answers to one, the first counts. With the last, the task goes on.

        Raises NotFound.
        """

    async def cancel(self, user_id: UUID, task_id: UUID) -> Task:
        """Raises NotFound, and Conflict (`details.status`) when it has already ended."""

    async def cancel_all(self, user_id: UUID) -> int:
        """Ends everything of a user that has not ended."""


class Queue(Protocol):
    async def join(self, agents: Collection[str], *, slot: str | None, cold_start_ms: float | None = None) -> UUID:
        """A new worker's id; the predecessor in its slot is declared dead and its tasks are queued again.

        `cold_start_ms`: from the start of its process until now.
        """

    async def beat(self, worker: UUID, held: Sequence[Claimed]) -> list[UUID] | None:
        """Stay alive for 3 s more. Returns those of `held` that are no longer ours; None when we were declared dead."""

    async def leave(self, worker: UUID) -> None:
        """What it still holds goes back into the queue, and no loss is counted."""

    async def bury(self, place: str) -> None:
        """Declares dead whoever holds a slot that begins with `place` and a slash."""

    async def claim(
        self, worker: UUID, agent: str, tools: Collection[str], limit: int, *, lost: bool = True
    ) -> list[Claimed]:
        """The most urgent ones, now running under this worker; without `lost`, none that a worker died under."""

    async def finish(self, task: Claimed, outcome: Outcome) -> bool:
        """False when the fence has moved on: then nothing was written. With `asks`, the task waits for its client."""

    async def status(self, task: Claimed) -> Status | None:
        """As the record has it now, under whatever fence; None once it is erased."""

    async def progress(self, task: Claimed, percent: float, message: str) -> None: ...

    async def attach(self, worker: UUID, new: NewTask) -> Claimed:
        """A task that runs where its caller waits. It is never run again: without its worker it is failed."""

    async def record(self, new: NewTask, outcome: Outcome, seconds: float, *, task_id: UUID | None = None) -> UUID:
        """One terminal row for an attached read, written in batches; its id where it has none yet."""
