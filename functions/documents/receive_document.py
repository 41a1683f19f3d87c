"""POST /api/v1/documents: a text or a file, to be kept and to be found."""

from uuid import UUID, uuid4, uuid5

from pydantic import BaseModel, RootModel

from functions.documents._received import FileDocument, TextDocument, new_document
from shared.function import MIB, Call, Caller, http
from shared.ports.documents import Documents, DocumentStatus, object_key
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
    await documents.expect(caller.user_id, document_id)
    await objects.put(object_key(caller.user_id, document_id), content)
    received = await documents.receive(new)
    return ReceivedDocument(document_id=document_id, task_id=received.task_id, status=received.status)
