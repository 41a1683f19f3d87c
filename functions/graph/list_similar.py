"""GET /api/v1/graph/similar/{document_id}: documents that say much the same."""

from uuid import UUID

from pydantic import BaseModel, Field

from shared.function import Caller, http
from shared.graph.walking import similar
from shared.payload import Payload
from shared.ports.graph import Graph, GraphNode


class ListSimilar(Payload):
    document_id: UUID
    limit: int = Field(default=10, ge=1, le=200)


class Alike(BaseModel):
    document: GraphNode
    score: float


class AlikeList(BaseModel):
    similar: list[Alike]


@http("GET", "/api/v1/graph/similar/{document_id}", scope="graph:read")
async def list_similar(request: ListSimilar, *, caller: Caller, graph: Graph) -> AlikeList:
    """The most alike first."""
    found = await similar(graph, caller.user_id, str(request.document_id), limit=request.limit)
    return AlikeList(similar=[Alike(document=one, score=score) for one, score in found])
