"""The knowledge graph's answers out of Neo4j."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from shared.ports.graph import Direction, GraphEdge, GraphNode, Relation, Subgraph
from shared.stores.neo4j.engine import shown_properties
from shared.stores.neo4j.link import Neo4jLink, Transaction, fetched

# The key says whose it is; that it is said once more keeps a mistake in a key from showing another's node.
_HERE = """
MATCH (l:GraphLive {id: 'graph'}) UNWIND $ids AS id
MATCH (n:Node {key: toString(l.number) + '/' + $user_id + '/' + id}) WHERE n.user_id = $user_id"""
_NODES = f"{_HERE} RETURN n ORDER BY n.id"
_EDGES = """{here} CALL (n) {{
    MATCH {pattern} WHERE m.user_id = $user_id AND type(r) IN $relations RETURN r, m LIMIT $limit
}}
RETURN type(r) AS type, startNode(r).id AS source, endNode(r).id AS target, r.score AS score"""
_OUT, _IN = (_EDGES.format(here=_HERE, pattern=pattern) for pattern in ("(n)-[r]->(m:Node)", "(n)<-[r]-(m:Node)"))
_ALL = "MATCH (l:GraphLive {id: 'graph'}) MATCH (n:Node {user_id: $user_id}) WHERE n.generation = l.number"
_ALL_NODES = f"{_ALL} RETURN n ORDER BY n.id LIMIT $limit"
_ALL_EDGES = f"""{_ALL} MATCH (n)-[r]->(m:Node {{user_id: $user_id}})
RETURN type(r) AS type, n.id AS source, m.id AS target, r.score AS score
ORDER BY source, type, target LIMIT $limit"""


class Neo4jGraph:
    def __init__(self, *, link: Neo4jLink) -> None:
        self._link = link

    async def nodes(self, user_id: UUID, ids: Collection[str]) -> Sequence[GraphNode]:
        rows = await self._fetch(_NODES, user_id=str(user_id), ids=sorted(set(ids)))
        return [_node(row["n"]) for row in rows]

    async def edges(
        self, user_id: UUID, ids: Collection[str], *, direction: Direction, relations: Collection[Relation], limit: int
    ) -> Sequence[GraphEdge]:
        asked = {"user_id": str(user_id), "ids": list(ids), "relations": list(relations), "limit": limit}
        found: dict[tuple[str, str, str], GraphEdge] = {}
        for query in {"out": [_OUT], "in": [_IN], "both": [_OUT, _IN]}[direction]:
            for row in await self._fetch(query, **asked):
                found[row["source"], row["type"], row["target"]] = _edge(row)
        return list(found.values())

    async def whole(self, user_id: UUID, *, most_nodes: int, most_edges: int) -> Subgraph:
        nodes = await self._fetch(_ALL_NODES, user_id=str(user_id), limit=most_nodes + 1)
        edges = await self._fetch(_ALL_EDGES, user_id=str(user_id), limit=most_edges + 1)
        shown = [_node(row["n"]) for row in nodes[:most_nodes]]
        ids = {node.id for node in shown}
        return Subgraph(
            nodes=shown,
            edges=[_edge(row) for row in edges[:most_edges] if row["source"] in ids and row["target"] in ids],
            truncated=len(nodes) > most_nodes or len(edges) > most_edges,
        )

    async def _fetch(self, statement: str, **parameters: Any) -> list[Any]:
        async def found(tx: Transaction) -> list[Any]:
            return list(await fetched(await tx.run(statement, parameters)))

        return await self._link.read(found)


def _node(node: Any) -> GraphNode:
    return GraphNode(id=node["id"], kind=node["kind"], properties=shown_properties(node.items()))


def _edge(row: Any) -> GraphEdge:
    return GraphEdge(type=row["type"], source=row["source"], target=row["target"], score=row["score"])
