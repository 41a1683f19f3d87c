"""Reads what has happened to users, tasks and documents, and keeps what it means for the graph."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from events.documents import DocumentDeleted, DocumentIndexed, DocumentReceived
from events.tasks import TaskCancelled, TaskExpired, TaskFailed, TaskSubmitted, TaskSucceeded
from events.users import UserErased, UserRegistered
from shared.config import Settings
from shared.crypto import Codec, index_key, keyed_hash
from shared.errors import ConfigurationError
from shared.graph.lineage import contents, named_ids
from shared.graph.stars import Done, document_star, task_star, user_star
from shared.ports.documents import AGENT as INDEXES_DOCUMENTS
from shared.ports.graph import Ref
from shared.ports.tasks import TERMINAL
from shared.stores.postgres.database import Database
from shared.stores.postgres.graph_stars import PostgresStars
from shared.stores.postgres.queue import open_column
from shared.stores.postgres.tie_rows import TieRows
from shared.strict_json import Json

_TASKS = frozenset(event.type for event in (TaskSubmitted, TaskSucceeded, TaskFailed, TaskCancelled, TaskExpired))
_DocumentEvent = DocumentReceived | DocumentIndexed | DocumentDeleted
_DOCUMENTS: dict[str, type[_DocumentEvent]] = {
    event.type: event for event in (DocumentReceived, DocumentIndexed, DocumentDeleted)
}
_TYPES = [*_TASKS, *_DOCUMENTS, UserRegistered.type, UserErased.type]
_AT_ONCE = 500
_PAGE = 500
# Beyond what the record keeps of tasks, so that what is made of old outputs still finds its source.
_OUTPUTS_KEPT = "90 days"
_DIGEST_BYTES = 16

_NEXT = f"""
SELECT events_seq AS after, (
    SELECT max(seq) FROM (SELECT e.seq FROM events e WHERE e.seq > s.events_seq ORDER BY e.seq LIMIT {_AT_ONCE}) next
) AS upto FROM graph_state s"""
_EVENTS = """
SELECT type, subject, user_id, data FROM events
WHERE seq > $1 AND seq <= $2 AND type = ANY ($3) AND consumer IS NULL ORDER BY seq"""
_REACHED = "UPDATE graph_state SET events_seq = greatest(events_seq, $1)"
_ROW = """
e.user_id, e.id, e.agent_type, e.task_id, e.version, e.status, e.created_at, e.finished_at, e.input_data,
e.output_data"""
_OF_EVENTS = f"""
SELECT {_ROW} FROM agent_executions e
WHERE (e.user_id, e.id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[]))"""
_ALL = f"""
SELECT {_ROW} FROM agent_executions e WHERE (e.user_id, e.id) > ($1, $2) ORDER BY e.user_id, e.id LIMIT {_PAGE}"""
_PUT_OUT = f"""
INSERT INTO graph_outputs (user_id, digest, task_id, at)
SELECT t.* FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::timestamptz[]) AS t (user_id, digest, task_id, at)
WHERE at > now() - interval '{_OUTPUTS_KEPT}' AND EXISTS (SELECT FROM users u WHERE u.id = t.user_id)
ON CONFLICT DO NOTHING"""
# Of several who put out the same the last one counts: it is what had it nearest.
_SOURCES = """
SELECT DISTINCT t.task_id, 'Task' AS kind, o.task_id AS id
FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::timestamptz[]) AS t (user_id, digest, task_id, before)
JOIN LATERAL (
    SELECT o.task_id FROM graph_outputs o
    WHERE o.user_id = t.user_id AND o.digest = t.digest AND o.at <= t.before AND o.task_id <> t.task_id
    ORDER BY o.at DESC, o.task_id LIMIT 1
) o ON true"""
_NAMED = """
SELECT DISTINCT t.task_id, g.subject AS kind, t.id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) AS t (user_id, id, task_id, before)
JOIN graph_stars g ON g.user_id = t.user_id AND g.id = t.id::text AND g.subject IN ('Document', 'Task')
LEFT JOIN agent_executions e ON e.user_id = t.user_id AND e.id = t.id
WHERE t.id <> t.task_id AND (e.created_at IS NULL OR e.created_at < t.before)
UNION
SELECT t.task_id, 'Task', t.id
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[]) AS t (user_id, id, task_id, before)
JOIN agent_executions e ON e.user_id = t.user_id AND e.id = t.id
WHERE t.id <> t.task_id AND e.created_at < t.before"""
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class _Read:
    """A task with what it was given and, where it has succeeded, what it has put out."""

    done: Done
    given: Json
    result: Json


class PostgresGathering:
    def __init__(self, *, database: Database, stars: PostgresStars, ties: TieRows, settings: Settings) -> None:
        self._database = database
        self._stars = stars
        self._ties = ties
        self._codec = Codec()
        self._key = index_key(settings.keys_dir)

    async def gather(self) -> bool:
        following = await self._database.fetchrow(_NEXT)
        assert following is not None
        if following["upto"] is None:
            return False
        events = await self._database.fetch(_EVENTS, following["after"], following["upto"], _TYPES)
        # Whom a document was made by comes before it.
        await self._take_tasks([row for row in events if row["type"] in _TASKS and row["user_id"] is not None])
        users = [row["user_id"] for row in events if row["type"] == UserRegistered.type]
        await self._stars.put([*map(user_star, users)])
        await self._take_documents(events, again=True)
        await self._stars.erased({UUID(row["data"]["user_id"]) for row in events if row["type"] == UserErased.type})
        await self._database.execute(_REACHED, following["upto"])
        return True

    async def gather_all(self) -> None:
        await self._stars.put([user_star(row["id"]) for row in await self._database.fetch("SELECT id FROM users")])
        async for tasks in self._pages():
            await self._put_out(tasks)
        async for tasks in self._pages():
            await self._put(tasks)
        types = [*_DOCUMENTS, UserErased.type]
        events = await self._database.fetch(_EVENTS, 0, (1 << 63) - 1, types)
        await self._take_documents(events, again=False)
        await self._ties.put_all_stars()
        await self._stars.erased({UUID(row["data"]["user_id"]) for row in events if row["type"] == UserErased.type})

    async def trim(self) -> None:
        await self._database.execute(f"DELETE FROM graph_outputs WHERE at < now() - interval '{_OUTPUTS_KEPT}'")

    async def _pages(self) -> Any:
        after = (_NOBODY, _NOBODY)
        while rows := await self._database.fetch(_ALL, *after):
            yield self._read(rows)
            after = (rows[-1]["user_id"], rows[-1]["id"])

    async def _take_tasks(self, events: Sequence[Any]) -> None:
        named = {(row["user_id"], UUID(row["subject"])) for row in events}
        if named:
            users, ids = zip(*named, strict=True)
            tasks = self._read(await self._database.fetch(_OF_EVENTS, users, ids))
            await self._put_out(tasks)
            await self._put(tasks)

    def _read(self, rows: Iterable[Any]) -> list[_Read]:
        return [_Read(_done(row), self._open(row, "input_data"), self._open(row, "output_data")) for row in rows]

    def _open(self, row: Any, column: str) -> Json:
        """Nothing, where its key is gone: the task is there all the same."""
        if row[column] is None:
            return None
        try:
            value: Json = open_column(self._codec, column, row["id"], row[column])
        except ConfigurationError:
            return None
        return value

    async def _take_documents(self, rows: Iterable[Any], *, again: bool) -> None:
        events = list(_documents(rows))
        await self._stars.put([document_star(event) for event in events])
        await self._ties.index([event for event in events if isinstance(event, DocumentIndexed)], again=again)
        deleted: dict[UUID, set[UUID]] = {}
        for event in events:
            if isinstance(event, DocumentDeleted):
                deleted.setdefault(event.user_id, set()).add(event.document_id)
        for user_id, documents in deleted.items():
            await self._ties.forget(user_id, documents)

    async def _put_out(self, tasks: Sequence[_Read]) -> None:
        rows = [
            (task.done.user_id, digest, task.done.task_id, task.done.finished_at)
            for task in tasks
            if task.done.ended == "succeeded"
            for digest in self._digests(task.done.user_id, task.result)
        ]
        if rows:
            await self._database.execute(_PUT_OUT, *zip(*rows, strict=True))

    async def _put(self, tasks: Sequence[_Read]) -> None:
        used: dict[UUID, set[Ref]] = {task.done.task_id: set() for task in tasks}
        given = [
            (task.done.user_id, digest, task.done.task_id, task.done.created_at)
            for task in tasks
            for digest in self._digests(task.done.user_id, task.given)
        ]
        named = [
            (task.done.user_id, one, task.done.task_id, task.done.created_at)
            for task in tasks
            # The document that it indexes is what it makes.
            if task.done.agent != INDEXES_DOCUMENTS
            for one in named_ids(task.given)
        ]
        for query, rows in ((_SOURCES, given), (_NAMED, named)):
            if rows:
                for row in await self._database.fetch(query, *zip(*rows, strict=True)):
                    used[row["task_id"]].add(Ref(row["kind"], str(row["id"])))
        await self._stars.put([task_star(task.done, used[task.done.task_id]) for task in tasks])

    def _digests(self, user_id: UUID, value: Json) -> list[bytes]:
        """Of one user: equal contents of two are not known to be."""
        return [
            keyed_hash(self._key, "graph-output", user_id.bytes, content)[:_DIGEST_BYTES] for content in contents(value)
        ]


def _done(row: Any) -> Done:
    ended: datetime | None = row["finished_at"]
    return Done(
        user_id=row["user_id"],
        task_id=row["id"],
        agent=row["agent_type"],
        tool=row["task_id"],
        version=row["version"],
        created_at=row["created_at"],
        ended=row["status"] if row["status"] in TERMINAL else None,
        finished_at=ended,
    )


def _documents(events: Iterable[Any]) -> Iterable[_DocumentEvent]:
    for row in events:
        if model := _DOCUMENTS.get(row["type"]):
            try:
                event = model.model_validate(row["data"])
            except ValidationError:
                # Of a version that this one does not know.
                continue
            if event.user_id == row["user_id"]:
                yield event
