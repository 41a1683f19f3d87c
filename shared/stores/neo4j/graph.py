"""The knowledge graph's answers out of Neo4j."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from shared.graph.leading import Way, leading
from shared.ports.graph import KINDS, Direction, GraphEdge, GraphNode, Kind, Relation, Subgraph
from shared.stores.neo4j.engine import shown_properties
from shared.stores.neo4j.link import Neo4jLink

# The key says whose it is; that it is said once more keeps a mistake in a key from showing another's node.
_HERE = """
MATCH (l:GraphLive {id: 'graph'}) UNWIND $ids AS id
MATCH (n:Node {key: toString(l.number) + '/' + $user_id + '/' + id}) WHERE n.user_id = $user_id"""
# Columns of one record: to read as many records takes the driver twenty times as long.
_NODES = f"{_HERE} WITH n ORDER BY n.id RETURN collect([n.id, n.kind, properties(n)]) AS nodes"
_COLUMNS = """
RETURN collect(type) AS types, collect(source) AS sources, collect(target) AS targets,
    collect(CASE WHEN score IS NOT NULL THEN [source, target, score] END) AS scored"""
_HALVES: dict[Way, str] = {
    "out": """
    MATCH (n)-[r:{types}]->(m) WHERE m.user_id = $user_id{of_kinds}
    RETURN type(r) AS type, n.id AS source, m.id AS target, r.score AS score LIMIT $limit""",
    "in": """
    MATCH (n)<-[r:{types}]-(m) WHERE m.user_id = $user_id{of_kinds}
    RETURN type(r) AS type, m.id AS source, n.id AS target, r.score AS score LIMIT $limit""",
}
_ALL = "MATCH (l:GraphLive {id: 'graph'}) MATCH (n:Node {user_id: $user_id}) WHERE n.generation = l.number"
_ALL_NODES = f"{_ALL} RETURN n.id AS id, n.kind AS kind, properties(n) AS properties ORDER BY id LIMIT $limit"
_ALL_EDGES = f"""{_ALL} MATCH (n)-[r]->(m:Node {{user_id: $user_id}})
RETURN type(r) AS type, n.id AS source, m.id AS target, r.score AS score
ORDER BY source, type, target LIMIT $limit"""


class Neo4jGraph:
    def __init__(self, *, link: Neo4jLink) -> None:
        self._link = link

    async def nodes(self, user_id: UUID, ids: Collection[str]) -> Sequence[GraphNode]:
        [row] = await self._fetch(_NODES, user_id=str(user_id), ids=sorted(set(ids)))
        return [_node(*node) for node in row["nodes"]]

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
        statement = _edges_of(direction, relations, kinds)
        if statement is None:
            return []
        asked = {"user_id": str(user_id), "ids": list(ids), "kinds": list(kinds), "limit": limit}
        [row] = await self._fetch(statement, **asked)
        scores = {("SIMILAR_TO", source, target): score for source, target, score in row["scored"]}
        # Those between two of the nodes are found from either.
        found = dict.fromkeys(zip(row["types"], row["sources"], row["targets"], strict=True))
        return [GraphEdge(type=key[0], source=key[1], target=key[2], score=scores.get(key)) for key in found]

    async def whole(self, user_id: UUID, *, most_nodes: int, most_edges: int) -> Subgraph:
        nodes = await self._fetch(_ALL_NODES, user_id=str(user_id), limit=most_nodes + 1)
        edges = await self._fetch(_ALL_EDGES, user_id=str(user_id), limit=most_edges + 1)
        shown = [_node(row["id"], row["kind"], row["properties"]) for row in nodes[:most_nodes]]
        ids = {node.id for node in shown}
        return Subgraph(
            nodes=shown,
            edges=[_edge(row) for row in edges[:most_edges] if row["source"] in ids and row["target"] in ids],
            truncated=len(nodes) > most_nodes or len(edges) > most_edges,
        )

    async def _fetch(self, statement: str, **parameters: Any) -> list[Any]:
        return await self._link.ask(statement, **parameters)


def _edges_of(direction: Direction, relations: Collection[Relation], kinds: Collection[Kind]) -> str | None:
    """Types stand in the statement, so that a node's other edges are not looked at; each is one of the port's."""
    halves = []
    for way, half in _HALVES.items():
        leads = leading(way, relations, kinds)
        if direction in (way, "both") and leads.all:
            of_kinds = "" if leads.is_sure else f" AND (type(r) IN {leads.surely} OR m.kind IN $kinds)"
            halves.append(half.format(types="|".join(leads.all), of_kinds=of_kinds))
    return f"{_HERE} CALL (n) {{ {' UNION ALL '.join(halves)} }}{_COLUMNS}" if halves else None


def _node(id: str, kind: Kind, properties: dict[str, Any]) -> GraphNode:
    return GraphNode(id=id, kind=kind, properties=shown_properties(properties.items()))


def _edge(row: Any) -> GraphEdge:
    return GraphEdge(type=row["type"], source=row["source"], target=row["target"], score=row["score"])
