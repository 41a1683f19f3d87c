"""documents/index_document: has a document be found."""

from uuid import UUID

from shared.documents.indexing import Indexed, Indexer
from shared.function import LONGEST_TASK_S, Run, tool
from shared.payload import Payload
from shared.ports.documents import Indexing
from shared.ports.objects import Objects
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections, Vectors


class IndexDocument(Payload):
    document_id: UUID


# Files of strangers are read in a process that can be killed, and sees nothing but what it needs.
@tool(effect="exec", timeout_s=LONGEST_TASK_S, idempotent=True, scope="documents:write", task="forbidden")
async def index_document(
    request: IndexDocument,
    *,
    run: Run,
    work: Indexing,
    objects: Objects,
    collections: Collections,
    vectors: Vectors,
    service: VectorService,
) -> Indexed:
    """Read a document, cut it into chunks and have them embedded and indexed; what was done before is not repeated."""
    indexer = Indexer(work=work, objects=objects, collections=collections, vectors=vectors, service=service)
    return await indexer.index(request.document_id, run)
