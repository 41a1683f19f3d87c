"""GET /api/v1/graph/nodes/{node_id}: one node of the caller's graph."""

from functions.graph._asked import NodeId
from shared.function import Caller, http
from shared.graph.walking import node
from shared.payload import Payload
from shared.ports.graph import Graph, GraphNode


class GetNode(Payload):
    node_id: NodeId


@http("GET", "/api/v1/graph/nodes/{node_id}", scope="graph:read")
async def get_node(request: GetNode, *, caller: Caller, graph: Graph) -> GraphNode:
    """One node: a task, document, conversation, workflow, chunk, agent, or the caller."""
    return await node(graph, caller.user_id, request.node_id)
