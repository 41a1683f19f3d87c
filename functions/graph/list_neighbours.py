"""GET /api/v1/graph/nodes/{node_id}/neighbours: what is near a node."""

from pydantic import Field

from functions.graph._asked import Kinds, NodeId, kinds_of
from shared.function import Caller, http
from shared.graph.walking import neighbours
from shared.payload import Payload
from shared.ports.graph import Graph, Subgraph


class ListNeighbours(Payload):
    node_id: NodeId
    depth: int = Field(default=1, ge=1, le=4)
    kinds: Kinds | None = None
    limit: int = Field(default=50, ge=1, le=200)


@http("GET", "/api/v1/graph/nodes/{node_id}/neighbours", scope="graph:read")
async def list_neighbours(request: ListNeighbours, *, caller: Caller, graph: Graph) -> Subgraph:
    """The node and its neighbours up to a depth, the nearest first, with the edges between them."""
    return await neighbours(
        graph,
        caller.user_id,
        request.node_id,
        depth=request.depth,
        kinds=kinds_of(request.kinds),
        limit=request.limit,
    )
