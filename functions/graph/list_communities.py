"""GET /api/v1/graph/communities: what of the caller's graph belongs together."""

import asyncio

from pydantic import BaseModel, Field

from functions.graph._asked import MOST_EDGES, MOST_NODES, Kinds, kinds_of
from shared.function import Caller, http
from shared.graph.measures import communities
from shared.payload import Payload
from shared.ports.graph import Graph, GraphNode, Subgraph


class ListCommunities(Payload):
    kinds: Kinds | None = None
    limit: int = Field(default=20, ge=1, le=200)


class Community(BaseModel):
    """`members`: 200 at most of `size`."""

    size: int
    members: list[GraphNode]


class CommunityList(BaseModel):
    """`truncated`: the graph has more than the nodes and edges that were looked at."""

    communities: list[Community]
    total: int
    truncated: bool


@http("GET", "/api/v1/graph/communities", scope="graph:read")
async def list_communities(request: ListCommunities, *, caller: Caller, graph: Graph) -> CommunityList:
    """Groups of nodes that hang together more than with others, the largest first."""
    whole = await graph.whole(caller.user_id, most_nodes=MOST_NODES, most_edges=MOST_EDGES)
    # Everything hangs on its owner: with that node in it, a graph would be one group.
    kinds = kinds_of(request.kinds) - (frozenset({"User"}) if request.kinds is None else frozenset())
    nodes = {one.id: one for one in whole.nodes if one.kind in kinds}
    groups = await asyncio.to_thread(communities, Subgraph(nodes=list(nodes.values()), edges=whole.edges))
    shown = [Community(size=len(ids), members=[nodes[one] for one in ids[:200]]) for ids in groups[: request.limit]]
    return CommunityList(communities=shown, total=len(groups), truncated=whole.truncated)
