"""Rows of documents, and how a document fares: read off the task that indexes it, so that nothing can say otherwise."""

from typing import Any
from uuid import UUID

from shared.crypto import Codec
from shared.ports.documents import UNTITLED, Document
from shared.ports.tasks import TaskError

_TABLE = "documents"

# $1 is the user. A document whose collection was deleted lies nowhere any more.
ROWS = """
SELECT d.*, e.status AS task_status, e.error AS task_error, CASE
    WHEN d.indexed_at IS NOT NULL THEN CASE WHEN c.id IS NULL THEN 'failed' ELSE 'indexed' END
    WHEN e.status = 'running' OR (e.status = 'queued' AND e.attempt > 0) THEN 'indexing'
    WHEN e.status = 'queued' THEN 'received'
    ELSE 'failed' END AS status
FROM documents d
LEFT JOIN agent_executions e ON e.user_id = d.user_id AND e.id = d.task_id
LEFT JOIN vector_collections c ON c.user_id = d.user_id AND c.id = d.collection_id
WHERE d.user_id = $1 AND d.deleted_at IS NULL"""

_WHY = {
    "cancelled": TaskError(code="CANCELLED", message="the task that indexes it was cancelled"),
    "expired": TaskError(code="EXPIRED", message="the task that indexes it did not begin in time"),
}
_GONE = TaskError(code="NOT_FOUND", message="the collection that it was in was deleted")
_FORGOTTEN = TaskError(code="INTERNAL_ERROR", message="it was not indexed, and its task is no longer known")


def sealed(codec: Codec, column: str, document_id: UUID, text: str | None) -> bytes | None:
    return None if text is None else codec.seal(text, table=_TABLE, column=column, row=document_id)


def opened(codec: Codec, column: str, row: Any) -> str | None:
    return None if row[column] is None else codec.open_text(row[column], table=_TABLE, column=column, row=row["id"])


def sealed_json(codec: Codec, column: str, document_id: UUID, value: object) -> bytes:
    return codec.seal_json(value, table=_TABLE, column=column, row=document_id)


def opened_json(codec: Codec, column: str, row: Any) -> Any:
    return codec.open_json(row[column], table=_TABLE, column=column, row=row["id"])


def document(codec: Codec, row: Any) -> Document:
    file_name = opened(codec, "file_name", row)
    return Document(
        document_id=row["id"],
        task_id=row["task_id"],
        title=opened(codec, "title", row) or file_name or UNTITLED,
        file_name=file_name,
        media_type=row["media_type"],
        size_bytes=row["size_bytes"],
        collection=row["collection"],
        metadata=opened_json(codec, "metadata", row),
        status=row["status"],
        error=_error(codec, row) if row["status"] == "failed" else None,
        chunks=row["chunks"],
        created_at=row["created_at"],
        indexed_at=row["indexed_at"],
    )


def _error(codec: Codec, row: Any) -> TaskError:
    if row["indexed_at"] is not None:
        return _GONE
    if row["error"] is not None:
        return TaskError.model_validate(opened_json(codec, "error", row))
    if row["task_status"] == "failed":
        return TaskError.model_validate(row["task_error"])
    return _WHY.get(row["task_status"], _FORGOTTEN)
