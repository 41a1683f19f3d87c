"""Documents in the record, for those who give them and look for them."""

from uuid import UUID, uuid4

import asyncpg

from events.documents import DocumentDeleted, DocumentReceived
from shared.crypto import Codec
from shared.errors import NotFound, Unavailable
from shared.function import LONGEST_TASK_S
from shared.paging import cursor_of, cursor_values
from shared.ports.documents import (
    AGENT,
    TOOL,
    UNTITLED,
    Document,
    DocumentList,
    DocumentStatus,
    Leftover,
    NewDocument,
    object_key,
)
from shared.ports.tasks import NewTask
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.document_rows import ROWS, document, sealed, sealed_json
from shared.stores.postgres.outbox import record_act, record_event
from shared.stores.postgres.tasks import PostgresTasks

# A long document takes several, each of which goes on where the last one was.
_ATTEMPTS = 20
_TTL_S = 7 * 86_400.0
# Longer than any request may take.
_EXPECTED = "1 hour"

_EXPECT = f"""
INSERT INTO object_removals (key, due_at)
SELECT $1, now() + interval '{_EXPECTED}'
WHERE NOT EXISTS (SELECT FROM documents WHERE id = $2 AND deleted_at IS NULL)
ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at"""
_INSERT = """
INSERT INTO documents (id, user_id, task_id, title, file_name, metadata, media_type, size_bytes, collection)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING RETURNING true"""
# Whoever deletes it waits until what we do with its note is done.
_HOLD = "SELECT true FROM documents WHERE id = $1 AND deleted_at IS NULL FOR SHARE"
_REMOVE = "INSERT INTO object_removals (key) VALUES ($1) ON CONFLICT (key) DO UPDATE SET due_at = excluded.due_at"
_ONE = f"{ROWS} AND d.id = $2"
_LIST = f"""
SELECT * FROM ({ROWS}) AS d
WHERE ($2::text IS NULL OR d.status = $2) AND ($3::text IS NULL OR d.collection = $3)
    AND ($4::timestamptz IS NULL OR (d.created_at, d.id) < ($4, $5::uuid))
ORDER BY d.created_at DESC, d.id DESC LIMIT $6"""
_DELETE = """
UPDATE documents d SET deleted_at = now()
WHERE d.user_id = $1 AND d.id = $2 AND d.deleted_at IS NULL
RETURNING d.id, d.task_id, d.chunks, d.collection,
    (SELECT c.name FROM vector_collections c WHERE c.user_id = $1 AND c.id = d.collection_id) AS placed_in"""


class PostgresDocuments:
    def __init__(self, *, database: Database, codec: Codec, tasks: PostgresTasks) -> None:
        self._database = database
        self._codec = codec
        self._tasks = tasks

    async def expect(self, user_id: UUID, document_id: UUID) -> None:
        await self._database.execute(_EXPECT, object_key(user_id, document_id), document_id)

    async def receive(self, new: NewDocument) -> Document:
        task = _task(new)
        if (refusal := await self._tasks.refusal([task])) is not None:
            raise refusal
        try:
            async with self._database.transaction() as connection:
                if written := await self._write(connection, new, uuid4()):
                    await self._tasks.write(connection, [(written, task)])
                    await self._announce(connection, new, written)
                row = await connection.fetchrow(_ONE, new.user_id, new.id)
        except asyncpg.ForeignKeyViolationError:
            raise NotFound("this user is gone") from None
        if row is None:
            raise NotFound(f"no document {new.id!s}: it was deleted")
        self._tasks.wake([task])
        return document(self._codec, row)

    async def _write(self, connection: Connection, new: NewDocument, task_id: UUID) -> UUID | None:
        """Its task's id; None where it is there already."""
        values = (
            sealed(self._codec, "title", new.id, new.title),
            sealed(self._codec, "file_name", new.id, new.file_name),
            sealed_json(self._codec, "metadata", new.id, dict(new.metadata)),
        )
        more = (new.media_type, new.size_bytes, new.collection)
        is_new = await connection.fetchval(_INSERT, new.id, new.user_id, task_id, *values, *more)
        key = object_key(new.user_id, new.id)
        if not await connection.fetchval(_HOLD, new.id):
            # It was deleted, and its original has just been stored once more.
            await connection.execute(_REMOVE, key)
            return None
        # Also where it is not new: two who sent it at once may both have expected it.
        taken = await connection.fetchval("DELETE FROM object_removals WHERE key = $1 RETURNING true", key)
        if is_new and not taken:
            raise Unavailable("storing the document took too long; send it again")
        return task_id if is_new else None

    async def _announce(self, connection: Connection, new: NewDocument, task_id: UUID) -> None:
        event = DocumentReceived(
            document_id=new.id,
            user_id=new.user_id,
            task_id=task_id,
            collection=new.collection,
            title=new.title or new.file_name or UNTITLED,
        )
        source = "/functions/receive_document"
        await record_event(connection, event, source=source, subject=str(new.id), user_id=new.user_id)
        await _record(connection, new.user_id, "documents.receive", new.id, done=True)

    async def get(self, user_id: UUID, document_id: UUID) -> Document | None:
        row = await self._database.fetchrow(_ONE, user_id, document_id)
        return document(self._codec, row) if row else None

    async def list(
        self, user_id: UUID, *, status: DocumentStatus | None, collection: str | None, limit: int, cursor: str | None
    ) -> DocumentList:
        before = cursor_values(cursor) if cursor else (None, None)
        rows = await self._database.fetch(_LIST, user_id, status, collection, *before, limit + 1)
        more = cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
        return DocumentList(documents=[document(self._codec, row) for row in rows[:limit]], next_cursor=more)

    async def delete(self, user_id: UUID, document_id: UUID) -> Leftover | None:
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_DELETE, user_id, document_id)
            if row is not None:
                key = object_key(user_id, document_id)
                await connection.execute("INSERT INTO object_removals VALUES ($1) ON CONFLICT DO NOTHING", key)
                event = DocumentDeleted(
                    document_id=document_id,
                    user_id=user_id,
                    task_id=row["task_id"],
                    collection=row["placed_in"] or row["collection"],
                    title="",
                )
                source, subject = "/functions/delete_document", str(document_id)
                await record_event(connection, event, source=source, subject=subject, user_id=user_id)
            await _record(connection, user_id, "documents.delete", document_id, done=row is not None)
        return None if row is None else leftover(user_id, row)


def leftover(user_id: UUID, row: asyncpg.Record) -> Leftover:
    return Leftover(
        user_id=user_id,
        document_id=row["id"],
        task_id=row["task_id"],
        collection=row["placed_in"],
        chunks=row["chunks"],
    )


def _task(new: NewDocument) -> NewTask:
    return NewTask(
        user_id=new.user_id,
        agent=AGENT,
        tool=TOOL,
        parameters={"document_id": str(new.id)},
        timeout_ms=int(LONGEST_TASK_S * 1000),
        ttl_s=_TTL_S,
        max_attempts=_ATTEMPTS,
    )


async def _record(connection: Connection, user_id: UUID, action: str, document_id: UUID, *, done: bool) -> None:
    on = f"document:{document_id}"
    await record_act(connection, actor=user_id, action=action, on=on, outcome="done" if done else "refused")
