"""Tails the record's numbered events for everybody who watches tasks in this process: one query a hint or second."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from events.tasks import TaskCancelled, TaskExpired, TaskFailed, TaskRequeued, TaskStarted, TaskSubmitted, TaskSucceeded
from shared.errors import Invalid, Unavailable
from shared.ports.live import TaskChange, TaskHeard
from shared.ports.signals import Signals
from shared.ports.tasks import Status
from shared.stores.postgres.database import Database
from shared.stores.postgres.reader import Reader

logger = logging.getLogger("sutazai.live")

_POLL_S = 1.0
_PROGRESS_S = 0.25
_BATCH = 2000
_PAGE = 500
# So many are told before others get their turn: queues that they go into are written meanwhile.
_STEP = 100

_STATUS: dict[str, Status] = {
    TaskSubmitted.type: "queued",
    TaskStarted.type: "running",
    TaskRequeued.type: "queued",
    TaskSucceeded.type: "succeeded",
    TaskFailed.type: "failed",
    TaskCancelled.type: "cancelled",
    TaskExpired.type: "expired",
}
_TYPES = ", ".join(f"'{name}'" for name in _STATUS)

_COLUMNS = "e.seq, e.sequence, e.type, e.subject, e.user_id, e.data, e.at, p.percent"
_PROGRESS_OF = "LEFT JOIN task_progress p ON p.user_id = e.user_id AND p.execution_id = e.subject::uuid"
# A replay for one consumer is nothing new to people.
_OURS = f"e.consumer IS NULL AND e.type IN ({_TYPES})"

# The cursor passes over what nobody here watches: the next look must not start before it again.
# $1 cursor, $2 users
_FRESH = f"""
WITH fresh AS MATERIALIZED (SELECT * FROM events WHERE seq > $1 ORDER BY seq LIMIT {_BATCH}),
mine AS (
    SELECT {_COLUMNS} FROM fresh e JOIN unnest($2::uuid[]) AS w (watched) ON w.watched = e.user_id {_PROGRESS_OF}
    WHERE {_OURS}
)
SELECT top.upto, mine.* FROM (SELECT max(seq) AS upto FROM fresh) top LEFT JOIN mine ON true ORDER BY seq
"""
_REPLAY = f"""
SELECT {_COLUMNS} FROM events e {_PROGRESS_OF}
WHERE e.user_id = $1 AND e.seq > $2 AND e.seq <= $3 AND {_OURS} ORDER BY e.seq LIMIT {_PAGE}
"""
_HISTORY = f"""
SELECT {_COLUMNS} FROM events e {_PROGRESS_OF}
WHERE e.subject = $2::text AND e.user_id = $1 AND e.sequence > $3 AND {_OURS} ORDER BY e.sequence
"""
_PROGRESS = """
SELECT p.execution_id, p.percent, p.message, p.at FROM unnest($1::uuid[], $2::uuid[]) AS w (user_id, id)
JOIN task_progress p ON p.user_id = w.user_id AND p.execution_id = w.id
"""
_RUNNING = "SELECT user_id, id FROM agent_executions WHERE status = 'running' AND user_id = ANY($1)"


class PostgresTaskFeed(Reader):
    def __init__(self, *, database: Database, signals: Signals) -> None:
        self._database = database
        self._signals = signals
        self._watchers: dict[UUID, set[TaskHeard]] = {}
        self._joining: list[tuple[UUID, TaskHeard, asyncio.Future[int]]] = []
        # Whose tasks run, with the progress that was told last.
        self._running: dict[UUID, tuple[UUID, tuple[float, str] | None]] = {}
        self._cursor = 0
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def watching(self, user_id: UUID, heard: TaskHeard) -> AsyncIterator[int]:
        joined: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._joining.append((user_id, heard, joined))
        self._changed.set()
        self._begin()
        try:
            yield await joined
        finally:
            self._leave(user_id, heard, joined)

    def _leave(self, user_id: UUID, heard: TaskHeard, joined: "asyncio.Future[int]") -> None:
        self._joining = [one for one in self._joining if one[2] is not joined]
        watchers = self._watchers.get(user_id, set())
        watchers.discard(heard)
        if not watchers:
            self._watchers.pop(user_id, None)
            self._running = {task: of for task, of in self._running.items() if of[0] != user_id}

    async def last_seq(self, user_id: UUID) -> int:
        return await self._database.fetchval("SELECT max(seq) FROM events WHERE user_id = $1", user_id) or 0

    async def replay(self, user_id: UUID, *, after: int, upto: int) -> AsyncIterator[Sequence[TaskChange]]:
        if after > upto and after > await self._database.fetchval("SELECT last_value FROM event_seq"):
            raise Invalid(f"no event has been numbered {after!r} yet", field="last_seq")
        while after < upto:
            rows = await self._database.fetch(_REPLAY, user_id, after, upto)
            yield [_change(row) for row in rows]
            after = rows[-1]["seq"] if len(rows) == _PAGE else upto

    async def history(self, user_id: UUID, task_id: UUID, *, after: int) -> Sequence[TaskChange] | None:
        there = "SELECT FROM agent_executions WHERE user_id = $1 AND id = $2"
        if not await self._database.fetch(there, user_id, task_id):
            return None
        return [_change(row) for row in await self._database.fetch(_HISTORY, user_id, str(task_id), after)]

    async def _read(self) -> None:
        async with self._signals.listening("events", lambda _: self._changed.set()):
            progress = asyncio.create_task(self._read_progress())
            try:
                while True:
                    self._changed.clear()
                    try:
                        if await self._turn():
                            continue
                    except Unavailable:
                        logger.info("watchers of tasks wait for the record")
                    except Exception:
                        logger.exception("watchers of tasks missed a turn")
                    await _set_within(self._changed, _POLL_S if self._watchers or self._joining else None)
            finally:
                progress.cancel()
                await asyncio.gather(progress, return_exceptions=True)

    async def _turn(self) -> bool:
        """True when there may be more. Whoever joins does so between two queries, so nothing falls in between."""
        if not self._watchers:
            # Nobody has missed what came while nobody watched.
            self._cursor = await self._database.fetchval("SELECT coalesce(max(seq), 0) FROM events")
        await self._join()
        rows = await self._database.fetch(_FRESH, self._cursor, list(self._watchers))
        upto: int | None = rows[0]["upto"]
        if upto is None:
            return False
        for position, row in enumerate(rows if rows[0]["seq"] else ()):
            self._tell(_change(row))
            if position % _STEP == _STEP - 1:
                await asyncio.sleep(0)
        full, self._cursor = upto - self._cursor >= _BATCH, upto
        return full

    async def _join(self) -> None:
        joining = tuple(self._joining)
        if not joining:
            return
        running = await self._database.fetch(_RUNNING, [user_id for user_id, *_ in joining])
        for row in running:
            self._running.setdefault(row["id"], (row["user_id"], None))
        for one in joining:
            user_id, heard, joined = one
            if one in self._joining:
                self._joining.remove(one)
                self._watchers.setdefault(user_id, set()).add(heard)
            if not joined.done():
                joined.set_result(self._cursor)

    def _tell(self, change: TaskChange) -> None:
        if change.seq is None or change.status == "running":
            self._running[change.task_id] = (
                change.user_id,
                None if change.seq is not None else (change.progress, change.message),
            )
        else:
            self._running.pop(change.task_id, None)
        for heard in tuple(self._watchers.get(change.user_id, ())):
            heard(change)

    async def _read_progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_S)
            watched = [(of[0], task) for task, of in self._running.items() if of[0] in self._watchers]
            if watched:
                try:
                    await self._tell_progress(watched)
                except Unavailable:
                    continue

    async def _tell_progress(self, watched: Sequence[tuple[UUID, UUID]]) -> None:
        users, tasks = [user for user, _ in watched], [task for _, task in watched]
        for row in await self._database.fetch(_PROGRESS, users, tasks):
            task_id, shown = row["execution_id"], (row["percent"], row["message"])
            # It may have ended while the record was asked.
            of = self._running.get(task_id)
            if of is not None and of[1] != shown:
                self._tell(_progress(of[0], task_id, row))


def _progress(user_id: UUID, task_id: UUID, row: Any) -> TaskChange:
    return TaskChange(
        user_id=user_id,
        task_id=task_id,
        status="running",
        progress=row["percent"],
        message=row["message"],
        seq=None,
        sequence=None,
        at=row["at"],
    )


def _change(row: Any) -> TaskChange:
    status = _STATUS[row["type"]]
    # What an earlier attempt had reached says nothing about one that begins.
    percent = 100.0 if status == "succeeded" else 0.0 if status in ("queued", "running") else row["percent"] or 0.0
    return TaskChange(
        user_id=row["user_id"],
        task_id=UUID(row["subject"]),
        status=status,
        progress=percent,
        message=_message(status, row["data"]),
        seq=row["seq"],
        sequence=row["sequence"],
        at=row["at"],
    )


def _message(status: Status, data: Mapping[str, Any]) -> str:
    """Why, where the state alone does not say it."""
    if status == "running":
        return f"attempt {data['attempt']}"
    return str(data.get("reason", "")) if status in ("queued", "failed") else ""


async def _set_within(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
