"""GET /api/v1/documents: one's documents, page by page."""

from pydantic import Field

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.documents import DocumentList, Documents, DocumentStatus


class ListDocuments(Payload):
    status: DocumentStatus | None = None
    collection: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/documents", scope="documents:read")
async def list_documents(request: ListDocuments, *, caller: Caller, documents: Documents) -> DocumentList:
    """Newest first, each with how far it is."""
    return await documents.list(
        caller.user_id,
        status=request.status,
        collection=request.collection,
        limit=request.limit,
        cursor=request.cursor,
    )
