"""POST /api/v1/documents: a text or a file, to be kept and to be found."""

from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel, RootModel

from functions.documents._received import FileDocument, TextDocument, new_document
from shared.errors import IdempotencyMismatch
from shared.function import MIB, Call, Caller, http
from shared.ports.documents import Document, Documents, DocumentStatus, object_key
from shared.ports.objects import Objects

BODY_BYTES = 10 * MIB


class ReceiveDocument(RootModel[TextDocument | FileDocument]):
    """A text as JSON, or a file as a form."""


class ReceivedDocument(BaseModel):
    document_id: UUID
    task_id: UUID
    status: DocumentStatus


@http("POST", "/api/v1/documents", scope="documents:write", status=202, upload=True, body_limit_bytes=BODY_BYTES)
async def receive_document(
    request: ReceiveDocument, *, caller: Caller, call: Call, documents: Documents, objects: Objects
) -> ReceivedDocument:
    """It can be found once the task has succeeded; its collection is made where it is not there."""
    key = call.idempotency_key
    document_id = uuid5(caller.user_id, f"document {key}") if key else uuid4()
    new, content = new_document(request.root, caller.user_id, document_id)
    received = await documents.get(caller.user_id, document_id) if key else None
    if received is None:
        await documents.expect(caller.user_id, document_id)
        await objects.put(object_key(caller.user_id, document_id), content)
        received = await documents.receive(new)
    elif not await _is_of(received, content, caller.user_id, objects):
        raise IdempotencyMismatch("this Idempotency-Key was used for another document")
    return ReceivedDocument(document_id=document_id, task_id=received.task_id, status=received.status)


async def _is_of(document: Document, content: bytes, user_id: UUID, objects: Objects) -> bool:
    """A key is forgotten after a while, and its document is not: what is there is never written over."""
    if document.size_bytes != len(content):
        return False
    original, _ = await objects.get(object_key(user_id, document.document_id))
    return original == content
