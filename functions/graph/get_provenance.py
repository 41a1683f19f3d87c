"""GET /api/v1/graph/provenance/{document_id}: where a document comes from."""

from uuid import UUID

from pydantic import Field

from shared.function import Caller, http
from shared.graph.provenance import Provenance, provenance
from shared.payload import Payload
from shared.ports.graph import Graph


class GetProvenance(Payload):
    document_id: UUID
    depth: int = Field(default=10, ge=1, le=50)


@http("GET", "/api/v1/graph/provenance/{document_id}", scope="graph:read")
async def get_provenance(request: GetProvenance, *, caller: Caller, graph: Graph) -> Provenance:
    """The tasks behind a document, with their agents, inputs and conversations, back to the first."""
    return await provenance(graph, caller.user_id, str(request.document_id), depth=request.depth)
