"""GET /api/v1/graph/centrality: what the caller's graph turns on."""

import asyncio

from pydantic import BaseModel, Field

from functions.graph._asked import MOST_EDGES, MOST_NODES, Kinds, kinds_of
from shared.function import Caller, http
from shared.graph.measures import pagerank
from shared.payload import Payload
from shared.ports.graph import Graph, GraphNode


class RankNodes(Payload):
    kinds: Kinds | None = None
    limit: int = Field(default=20, ge=1, le=200)


class Ranked(BaseModel):
    node: GraphNode
    score: float


class Ranking(BaseModel):
    """`truncated`: the graph has more than the nodes and edges that were looked at."""

    nodes: list[Ranked]
    truncated: bool


@http("GET", "/api/v1/graph/centrality", scope="graph:read")
async def rank_nodes(request: RankNodes, *, caller: Caller, graph: Graph) -> Ranking:
    """PageRank over the whole of the caller's graph, the highest first; the scores of all nodes add up to 1."""
    whole = await graph.whole(caller.user_id, most_nodes=MOST_NODES, most_edges=MOST_EDGES)
    ranks = await asyncio.to_thread(pagerank, whole)
    kinds = kinds_of(request.kinds)
    ordered = sorted((one for one in whole.nodes if one.kind in kinds), key=lambda one: (-ranks[one.id], one.id))
    shown = [Ranked(node=one, score=round(ranks[one.id], 9)) for one in ordered[: request.limit]]
    return Ranking(nodes=shown, truncated=whole.truncated)
