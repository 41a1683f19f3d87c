"""The knowledge graph's answers out of rows."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from shared.crypto import Codec
from shared.errors import Conflict
from shared.graph.leading import Way, leading
from shared.ports.graph import KINDS, Direction, GraphEdge, GraphNode, Kind, Relation, Rows, Subgraph
from shared.stores.postgres.database import Database

_HERE = "user_id = $1 AND generation = (SELECT number FROM graph_generations WHERE live)"
_NODE = "id, kind, properties"
_NODES = f"SELECT {_NODE} FROM graph_nodes WHERE {_HERE} AND id = ANY ($2) ORDER BY id"
# Each node by itself, so that one with very many edges hides no other's.
_EDGES = """
SELECT e.* FROM unnest($2::text[]) AS t (id) CROSS JOIN LATERAL (
    SELECT source, type, target, score FROM graph_edges e
    WHERE {here} AND e.{end} = t.id AND e.type = ANY (${all}::text[]) AND (
        e.type = ANY (${surely}::text[]) OR (
            SELECT n.kind FROM graph_nodes n
            WHERE n.user_id = $1 AND n.generation = e.generation AND n.id = e.{other}
        ) = ANY ($4::text[])
    ) LIMIT $3
) e"""
_OUT = _EDGES.format(here=_HERE, end="source", other="target", all=5, surely=6)
_IN = _EDGES.format(here=_HERE, end="target", other="source", all=5, surely=6)
_BOTH = f"{_OUT} UNION {_EDGES.format(here=_HERE, end='target', other='source', all=7, surely=8)}"
_ALL_NODES = f"SELECT {_NODE} FROM graph_nodes WHERE {_HERE} ORDER BY id LIMIT $2"
_ALL_EDGES = f"SELECT source, type, target, score FROM graph_edges WHERE {_HERE} ORDER BY source, type, target LIMIT $2"


class PostgresGraph:
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    async def nodes(self, user_id: UUID, ids: Collection[str]) -> Sequence[GraphNode]:
        return [self._node(user_id, row) for row in await self._database.fetch(_NODES, user_id, list(ids))]

    async def edges(
        self,
        user_id: UUID,
        ids: Collection[str],
        *,
        direction: Direction,
        relations: Collection[Relation],
        limit: int,
        kinds: Collection[Kind] = KINDS,
    ) -> Sequence[GraphEdge]:
        ways: list[Way] = ["out", "in"] if direction == "both" else [direction]
        leads = [leading(way, relations, kinds) for way in ways]
        types = [types for lead in leads for types in (lead.all, lead.surely)]
        statement = {"out": _OUT, "in": _IN, "both": _BOTH}[direction]
        rows = await self._database.fetch(statement, user_id, list(ids), limit, list(kinds), *types)
        return [_edge(row) for row in rows]

    async def whole(self, user_id: UUID, *, most_nodes: int, most_edges: int) -> Subgraph:
        nodes = await self._database.fetch(_ALL_NODES, user_id, most_nodes + 1)
        edges = await self._database.fetch(_ALL_EDGES, user_id, most_edges + 1)
        shown = [self._node(user_id, row) for row in nodes[:most_nodes]]
        ids = {node.id for node in shown}
        return Subgraph(
            nodes=shown,
            edges=[_edge(row) for row in edges[:most_edges] if row["source"] in ids and row["target"] in ids],
            truncated=len(nodes) > most_nodes or len(edges) > most_edges,
        )

    def _node(self, user_id: UUID, row: Any) -> GraphNode:
        place = {"table": "graph_nodes", "column": "properties", "row": f"{user_id}/{row['id']}"}
        properties = {} if row["properties"] is None else self._codec.open_json(row["properties"], **place)
        return GraphNode(id=row["id"], kind=row["kind"], properties=properties)


class NoAnalysis:
    async def query(
        self, user_id: UUID, cypher: str, parameters: Mapping[str, JsonValue], *, limit: int, timeout_s: float
    ) -> Rows:
        del user_id, cypher, parameters, limit, timeout_s
        raise Conflict("the graph lies in PostgreSQL here, which knows no Cypher: SUTAZAI_NEO4J_URL puts it into Neo4j")


def _edge(row: Any) -> GraphEdge:
    score = None if row["score"] is None else round(row["score"], 6)
    return GraphEdge(type=row["type"], source=row["source"], target=row["target"], score=score)
