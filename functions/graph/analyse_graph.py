"""POST /api/v1/graph/cypher: a query over the graphs of all users, for operators."""

from pydantic import Field, JsonValue

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.graph import Analysis, Rows


class AnalyseGraph(Payload):
    """`parameters` go where `$name` stands in the query. `timeout` is in ms."""

    query: str = Field(min_length=1, max_length=10_000)
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    limit: int = Field(default=100, ge=1, le=1000)
    timeout: int = Field(default=5000, ge=100, le=20_000)


@http("POST", "/api/v1/graph/cypher", scope="graph:analyse", keyed=False)
async def analyse_graph(request: AnalyseGraph, *, caller: Caller, analysis: Analysis) -> Rows:
    """Cypher that only reads. It sees the nodes and edges of ALL users, and the audit trail keeps who asked what."""
    return await analysis.query(
        caller.user_id,
        request.query,
        request.parameters,
        limit=request.limit,
        timeout_s=request.timeout / 1000,
    )
