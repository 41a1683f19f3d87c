"""GET /api/v1/documents/{document_id}: one document, and how far it is."""

from uuid import UUID

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.documents import Document, Documents


class GetDocument(Payload):
    document_id: UUID


@http("GET", "/api/v1/documents/{document_id}", scope="documents:read")
async def get_document(request: GetDocument, *, caller: Caller, documents: Documents) -> Document:
    found = await documents.get(caller.user_id, request.document_id)
    if found is None:
        raise NotFound(f"no document {request.document_id!s}")
    return found
