"""GET /api/v1/graph/path: how two nodes hang together."""

from pydantic import Field

from functions.graph._asked import NodeId
from shared.function import Caller, http
from shared.graph.walking import path
from shared.payload import Payload
from shared.ports.graph import Graph, Subgraph


class FindPath(Payload):
    source: NodeId
    target: NodeId
    depth: int = Field(default=6, ge=1, le=10)


@http("GET", "/api/v1/graph/path", scope="graph:read")
async def find_path(request: FindPath, *, caller: Caller, graph: Graph) -> Subgraph:
    """A shortest path, its nodes and edges in order; 404 where none of so many steps is found."""
    return await path(graph, caller.user_id, request.source, request.target, longest=request.depth)
