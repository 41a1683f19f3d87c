"""DELETE /api/v1/documents/{document_id}: the document, its original, and all that was indexed of it."""

from contextlib import suppress
from uuid import UUID

from pydantic import BaseModel

from shared.documents.removing import remove_chunks
from shared.errors import Conflict, NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.documents import Documents
from shared.ports.tasks import Tasks
from shared.ports.vectors import Vectors


class DeleteDocument(Payload):
    document_id: UUID


class DeletedDocument(BaseModel):
    document_id: UUID


@http("DELETE", "/api/v1/documents/{document_id}", scope="documents:write")
async def delete_document(
    request: DeleteDocument, *, caller: Caller, documents: Documents, tasks: Tasks, vectors: Vectors
) -> DeletedDocument:
    """A task that still indexes it is cancelled. The original goes within a minute."""
    left = await documents.delete(caller.user_id, request.document_id)
    if left is None:
        raise NotFound(f"no document {request.document_id!s}")
    # Whatever fails from here on, the sweep makes up for.
    with suppress(Conflict, NotFound):
        await tasks.cancel(caller.user_id, left.task_id)
    if left.collection is not None:
        await remove_chunks(vectors, left.user_id, left.collection, left.document_id, range(left.chunks))
    return DeletedDocument(document_id=request.document_id)
