"""The askers' side of tasks in the record."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Self
from uuid import UUID, uuid4

from shared.batch import Batcher
from shared.config import Settings
from shared.crypto import Codec
from shared.errors import Conflict, IdempotencyMismatch, NotFound, RateLimited
from shared.paging import cursor_of, cursor_values
from shared.ports.signals import Signals
from shared.ports.tasks import TERMINAL, NewTask, Status, Task, TaskError, TaskEvent, TaskList
from shared.stores.postgres import questions
from shared.stores.postgres import queue_sql as sql
from shared.stores.postgres.callbacks import peer_of, sealed_url
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.queue import open_column, seal_column
from shared.strict_json import Json

_POLL_S = 1.0
_DEPTHS_S = 1.0
_COLUMNS = """e.id, e.agent_type, e.task_id, e.status, e.priority, e.timeout_ms, e.input_data, e.output_data, e.error,
    e.attempt, e.max_attempts, e.losses, e.retry_of, e.created_at, e.started_at, e.finished_at, e.expires_at,
    p.percent, p.message"""
_ROWS = (
    f"SELECT {_COLUMNS} FROM agent_executions e"
    " LEFT JOIN task_progress p ON p.user_id = e.user_id AND p.execution_id = e.id"
)
_ONE = f"{_ROWS} WHERE e.user_id = $1 AND e.id = $2"


class PostgresTasks:
    def __init__(self, *, database: Database, codec: Codec, signals: Signals, settings: Settings) -> None:
        self._database = database
        self._codec = codec
        self._signals = signals
        self._settings = settings
        self._depths = _Depths(database)
        self._accepting: Batcher[Sequence[NewTask], list[UUID]] = Batcher(self._accept, size=16, parallel=2)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._accepting.close()

    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]:
        return await self._accepting.submit(tasks)

    async def _accept(self, requests: Sequence[Sequence[NewTask]]) -> list[list[UUID] | Exception]:
        results: list[list[UUID] | Exception | None] = [await self.refusal(request) for request in requests]
        while left := [n for n, result in enumerate(results) if result is None]:
            try:
                found = await self._insert([requests[n] for n in left])
            except _Mixed as mixed:
                left, found = [left[at] for at in mixed.places], [_mismatch() for _ in mixed.places]
            for n, result in zip(left, found, strict=True):
                results[n] = result
        self.wake([new for request in requests for new in request])
        return [result for result in results if result is not None]

    def wake(self, accepted: Sequence[NewTask]) -> None:
        for agent, count in Counter(new.agent for new in accepted).items():
            urgency = max(new.priority for new in accepted if new.agent == agent)
            self._signals.send("accepted", f"{agent} {count} {urgency}")

    async def _insert(self, requests: Sequence[Sequence[NewTask]]) -> list[list[UUID] | Exception]:
        """Raises _Mixed, having written nothing, when a key stands for another request but not all of its tasks' do."""
        rows = [(uuid4(), new) for request in requests for new in request]
        may_mix = any(len(request) > 1 and request[0].key is not None for request in requests)
        async with self._database.transaction() if may_mix else self._database.connection() as connection:
            written = await self.write(connection, rows)
            earlier = await _earlier(connection, [new for task_id, new in rows if task_id not in written])
            ids = iter(rows)
            given = [
                [
                    task_id if task_id in written else earlier.get(_use(new))
                    for task_id, new in islice(ids, len(request))
                ]
                for request in requests
            ]
            mixed = [at for at, mine in enumerate(given) if None in mine and not written.isdisjoint(mine)]
            if mixed:
                raise _Mixed(mixed)
        return [_mismatch() if None in mine else [task_id for task_id in mine if task_id] for mine in given]

    async def write(self, connection: Connection, rows: Sequence[tuple[UUID, NewTask]]) -> set[UUID | None]:
        """In a transaction of the caller's, who looks for a refusal before it, and wakes workers after it."""
        inserted = await connection.fetch(
            sql.ACCEPT,
            [task_id for task_id, _ in rows],
            [new.user_id for _, new in rows],
            [new.agent for _, new in rows],
            [new.tool for _, new in rows],
            [seal_column(self._codec, "input_data", task_id, dict(new.parameters)) for task_id, new in rows],
            [new.priority for _, new in rows],
            [new.timeout_ms for _, new in rows],
            [new.ttl_s for _, new in rows],
            [new.max_attempts for _, new in rows],
            [new.retry_of for _, new in rows],
            [new.key for _, new in rows],
            [new.digest for _, new in rows],
            [new.callback_url and sealed_url(self._codec, task_id, new.callback_url) for task_id, new in rows],
            [new.callback_url and peer_of(new.callback_url, self._settings.keys_dir) for _, new in rows],
            [" ".join(sorted(new.dialogue.kinds)) or None for _, new in rows],
            [questions.sealed_dialogue(self._codec, task_id, new.dialogue) for task_id, new in rows],
        )
        written = {row["id"] for row in inserted}
        self._depths.grow(new for task_id, new in rows if task_id in written)
        return written

    async def refusal(self, request: Sequence[NewTask]) -> Exception | None:
        """A bound may be passed: the keeper's counts may miss what was accepted just before they were read."""
        await self._depths.read()
        for new in request:
            for queued, limit in (
                (self._depths.of(new.agent, new.user_id), self._settings.max_queued_per_user),
                (self._depths.of(new.agent, None), self._settings.max_queued_per_agent),
            ):
                if queued + len(request) > limit:
                    return RateLimited("too many tasks are waiting", limit=limit, retry_after=5)
        return None

    async def get(self, user_id: UUID, task_id: UUID) -> Task | None:
        row = await self._database.fetchrow(_ONE, user_id, task_id)
        if row is None:
            return None
        events = await self._database.fetch(
            "SELECT type, sequence, at FROM events WHERE subject = $1 AND user_id = $2 AND consumer IS NULL"
            " ORDER BY sequence, position",
            str(task_id),
            user_id,
        )
        return self._task(row, [TaskEvent(type=e["type"], sequence=e["sequence"], at=e["at"]) for e in events])

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
        before = cursor_values(cursor) if cursor else None
        rows = await self._database.fetch(
            f"{_ROWS} WHERE e.user_id = $1 AND ($2::text IS NULL OR e.status = $2)"
            " AND ($3::text IS NULL OR e.agent_type = $3) AND ($4::timestamptz IS NULL OR e.created_at >= $4)"
            " AND ($5::timestamptz IS NULL OR (e.created_at, e.id) < ($5, $6::uuid))"
            " ORDER BY e.created_at DESC, e.id DESC LIMIT $7",
            user_id,
            status,
            agent,
            since,
            before and before[0],
            before and before[1],
            limit + 1,
        )
        more = cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
        return TaskList(tasks=[self._task(row, []) for row in rows[:limit]], next_cursor=more)

    async def wait(self, user_id: UUID, task_id: UUID, timeout_s: float) -> Task | None:
        ended = asyncio.Event()
        name = str(task_id)

        def hear(payload: str | None) -> None:
            if payload is None or name in payload:
                ended.set()

        deadline = asyncio.get_running_loop().time() + timeout_s
        async with self._signals.listening("ended", hear):
            status = await self._database.fetchval(
                "SELECT status FROM agent_executions WHERE user_id = $1 AND id = $2", user_id, task_id
            )
            while status is not None:
                left_s = deadline - asyncio.get_running_loop().time()
                if status not in TERMINAL and left_s > 0:
                    await _set_within(ended, min(left_s, _POLL_S))
                    ended.clear()
                row = await self._database.fetchrow(_ONE, user_id, task_id)
                status = row and row["status"]
                if row is not None and (status in TERMINAL or left_s <= 0):
                    return self._task(row, [])
        return None

    async def questions(self, user_id: UUID, task_id: UUID) -> Mapping[str, Json]:
        return await questions.open_questions(self._database, self._codec, user_id, task_id)

    async def answer(self, user_id: UUID, task_id: UUID, answers: Mapping[str, Json]) -> frozenset[str]:
        taken, going_on = await questions.answer(self._database, self._codec, user_id, task_id, answers)
        if going_on is not None:
            agent, priority = going_on
            self._signals.send("accepted", f"{agent} 1 {priority}")
        return taken

    async def cancel(self, user_id: UUID, task_id: UUID) -> Task:
        cancelled = await self._database.fetch(sql.CANCEL, user_id, task_id)
        task = await self.get(user_id, task_id)
        if task is None:
            raise NotFound(f"no task {task_id!s}")
        if not cancelled:
            raise Conflict(f"the task is {task.status} already", status=task.status)
        self._tell_cancelled([task_id])
        return task

    async def cancel_all(self, user_id: UUID) -> int:
        cancelled = await self._database.fetch(sql.CANCEL, user_id, None)
        self._tell_cancelled([row["id"] for row in cancelled])
        return len(cancelled)

    def _tell_cancelled(self, ids: Sequence[UUID]) -> None:
        for start in range(0, len(ids), 100):
            names = ",".join(map(str, ids[start : start + 100]))
            self._signals.send("cancelled", names)
            self._signals.send("ended", names)

    def _task(self, row: Any, events: Sequence[TaskEvent]) -> Task:
        started, ended = row["started_at"], row["finished_at"]
        output = row["output_data"]
        return Task(
            task_id=row["id"],
            agent_id=row["agent_type"],
            task=row["task_id"],
            status=row["status"],
            priority=row["priority"],
            timeout=row["timeout_ms"],
            parameters=open_column(self._codec, "input_data", row["id"], row["input_data"]),
            result=None if output is None else open_column(self._codec, "output_data", row["id"], output),
            # What an earlier attempt met says nothing about how the task ended otherwise.
            error=TaskError.model_validate(row["error"]) if row["status"] == "failed" else None,
            progress=100.0 if row["status"] == "succeeded" else row["percent"] or 0.0,
            message=row["message"] or "",
            attempts=row["attempt"],
            max_attempts=row["max_attempts"],
            losses=row["losses"],
            retry_of=row["retry_of"],
            created_at=row["created_at"],
            started_at=started,
            finished_at=ended,
            expires_at=row["expires_at"],
            execution_time=(ended - started).total_seconds() * 1000 if started and ended else None,
            events=[*events],
        )


class _Mixed(Exception):
    """The requests at these places can be written in part only."""

    def __init__(self, places: Sequence[int]) -> None:
        super().__init__(places)
        self.places = places


_Use = tuple[UUID, str | None, bytes | None]


def _use(new: NewTask) -> _Use:
    return new.user_id, new.key, new.digest


def _mismatch() -> IdempotencyMismatch:
    return IdempotencyMismatch("this Idempotency-Key was used for another request")


async def _earlier(connection: Connection, repeated: Sequence[NewTask]) -> dict[_Use, UUID]:
    """What keys stand for that were used before."""
    if not repeated:
        return {}
    rows = await connection.fetch(sql.OF_KEYS, [new.user_id for new in repeated], [new.key for new in repeated])
    return {(row["user_id"], row["idempotency_key"], row["request_hash"]): row["id"] for row in rows}


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class _Depths:
    """The keeper's counts, read once a second at most, and what was accepted here since they were read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = float("-inf")
        self._counts: dict[tuple[str, UUID | None], int] = {}
        self._since: Counter[tuple[str, UUID | None]] = Counter()

    async def read(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= _DEPTHS_S:
            self._read_at = now
            before = self._since.copy()
            rows = await self._database.fetch("SELECT agent_type, owner, queued FROM queue_depths")
            self._counts = {(row["agent_type"], row["owner"]): row["queued"] for row in rows}
            # Others went on accepting meanwhile.
            self._since -= before

    def grow(self, accepted: Iterable[NewTask]) -> None:
        for new in accepted:
            self._since[new.agent, new.user_id] += 1
            self._since[new.agent, None] += 1

    def of(self, agent: str, owner: UUID | None) -> int:
        """None: of all users."""
        return self._counts.get((agent, owner), 0) + self._since[agent, owner]
