"""Documents in the record, for the task that indexes one and for the sweep of what is left of others."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from events.documents import DocumentIndexed
from shared.crypto import Codec
from shared.ports.documents import UNTITLED, Job, Leftover
from shared.ports.tasks import TaskError
from shared.ports.vectors import Kept
from shared.stores.postgres.database import Database
from shared.stores.postgres.document_rows import opened, opened_json, sealed, sealed_json
from shared.stores.postgres.documents import leftover
from shared.stores.postgres.outbox import record_act, record_event

# A worker that was cut off writes for some seconds more than it is believed to live.
_QUIET = "1 minute"

_OURS = "user_id = $1 AND id = $2 AND deleted_at IS NULL"
# What lies in a collection that is gone is indexed anew.
_BEGIN = f"""
UPDATE documents d SET task_id = $3, error = NULL, indexed_at = CASE WHEN EXISTS (
    SELECT FROM vector_collections c WHERE c.user_id = $1 AND c.id = d.collection_id) THEN d.indexed_at END
WHERE {_OURS} RETURNING d.*"""
_PLACE = f"UPDATE documents SET collection_id = $3, chunks = $4 WHERE {_OURS} RETURNING true"
_KEPT = """
SELECT vector_id, sha256(convert_to(text, 'UTF8')) AS digest FROM vectors
WHERE user_id = $1 AND collection_name = $2 AND vector_id = ANY ($3) AND text IS NOT NULL"""
_INDEXED = f"""
UPDATE documents SET indexed_at = now(), title = coalesce(title, $4)
WHERE {_OURS} AND task_id = $3 AND indexed_at IS NULL RETURNING collection, chunks, title, id"""
_FAILED = f"UPDATE documents SET error = $4 WHERE {_OURS} AND task_id = $3 AND indexed_at IS NULL"
_DELETED = f"""
SELECT d.id, d.user_id, d.task_id, d.chunks, c.name AS placed_in FROM documents d
LEFT JOIN vector_collections c ON c.user_id = d.user_id AND c.id = d.collection_id
LEFT JOIN agent_executions e ON e.user_id = d.user_id AND e.id = d.task_id
WHERE d.deleted_at < now() - interval '{_QUIET}' AND coalesce(e.status, '') NOT IN ('queued', 'running')
ORDER BY d.deleted_at LIMIT $1"""


class PostgresIndexing:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def begin(self, user_id: UUID, document_id: UUID, task_id: UUID) -> Job | None:
        row = await self._database.fetchrow(_BEGIN, user_id, document_id, task_id)
        return None if row is None else self._job(row)

    def _job(self, row: Any) -> Job:
        return Job(
            user_id=row["user_id"],
            document_id=row["id"],
            title=opened(self._codec, "title", row),
            file_name=opened(self._codec, "file_name", row),
            media_type=row["media_type"],
            collection=row["collection"],
            metadata=opened_json(self._codec, "metadata", row),
            placed_in=row["collection_id"],
            chunks=row["chunks"],
        )

    async def place(self, job: Job, collection: Kept, chunks: int) -> bool:
        row = await self._database.fetchval(_PLACE, job.user_id, job.document_id, collection.id, chunks)
        return row is not None

    async def kept(self, collection: Kept, ids: Sequence[str]) -> Mapping[str, bytes]:
        rows = await self._database.fetch(_KEPT, collection.user_id, collection.name, list(ids))
        return {row["vector_id"]: row["digest"] for row in rows}

    async def collection_of(self, user_id: UUID, collection_id: UUID) -> str | None:
        query = "SELECT name FROM vector_collections WHERE user_id = $1 AND id = $2"
        name: str | None = await self._database.fetchval(query, user_id, collection_id)
        return name

    async def is_there(self, job: Job) -> bool:
        query = f"SELECT true FROM documents WHERE {_OURS}"
        return bool(await self._database.fetchval(query, job.user_id, job.document_id))

    async def indexed(self, job: Job, task_id: UUID, *, title: str) -> bool:
        found = sealed(self._codec, "title", job.document_id, title or None)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_INDEXED, job.user_id, job.document_id, task_id, found)
            if row is None:
                return False
            event = DocumentIndexed(
                document_id=job.document_id,
                user_id=job.user_id,
                task_id=task_id,
                collection=row["collection"],
                title=opened(self._codec, "title", row) or job.file_name or UNTITLED,
                chunks=row["chunks"],
            )
            source, subject = "/functions/index_document", str(job.document_id)
            await record_event(connection, event, source=source, subject=subject, user_id=job.user_id)
            on = f"document:{job.document_id}"
            await record_act(connection, actor=job.user_id, action="documents.index", on=on)
        return True

    async def failed(self, user_id: UUID, document_id: UUID, task_id: UUID, error: TaskError) -> None:
        said = sealed_json(self._codec, "error", document_id, error.model_dump())
        await self._database.execute(_FAILED, user_id, document_id, task_id, said)


class PostgresLeavings:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def deleted(self, *, limit: int) -> Sequence[Leftover]:
        return [leftover(row["user_id"], row) for row in await self._database.fetch(_DELETED, limit)]

    async def forget(self, document_id: UUID) -> None:
        await self._database.execute("DELETE FROM documents WHERE id = $1 AND deleted_at IS NOT NULL", document_id)

    async def removals(self, *, limit: int) -> Sequence[str]:
        query = "SELECT key FROM object_removals WHERE due_at <= now() ORDER BY due_at LIMIT $1"
        return [row["key"] for row in await self._database.fetch(query, limit)]

    async def removed(self, key: str) -> None:
        await self._database.execute("DELETE FROM object_removals WHERE key = $1 AND due_at <= now()", key)
