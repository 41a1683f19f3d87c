"""Holds the knowledge graph in Neo4j.

Labels and types are those of the port, and stand in statements; whatever else there is goes in as a parameter.
A node's key names its generation and its user, so no statement that begins with a key leaves either.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.errors import Conflict, NotFound
from shared.graph.marks import mark_of
from shared.ports.graph import BUCKETS, KINDS, RELATIONS, Change, Edge, Erased, Generation, Kept, Node, Ref, Sum
from shared.stores.neo4j.link import Neo4jLink, Transaction, fetched
from shared.stores.neo4j.schema import migrate

_LIVE = """
MATCH (l:GraphLive {id: 'graph'}) MATCH (g:GraphGeneration {number: l.number})
RETURN g.number AS number, g.applied_seq AS applied_seq"""
_NUMBERS = "MATCH (g:GraphGeneration) RETURN g.number AS number"
# Never given twice: one who is late must find none.
_BEGIN = """
MERGE (l:GraphLive {id: 'graph'}) SET l.last = coalesce(l.last, 0) + 1
CREATE (g:GraphGeneration {number: l.last, applied_seq: 0}) RETURN g.number AS number"""
_SWAP = "MERGE (l:GraphLive {id: 'graph'}) SET l.number = $generation"
_DROP = "MATCH (g:GraphGeneration) WHERE NOT g.number IN $kept DELETE g"
_DROP_NODES = """
MATCH (n:Node) WHERE NOT n.generation IN $kept CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS"""
_ERASE = "MATCH (n:Node {user_id: $user_id}) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS"
# Setting locks the generation: changes, repairs and swaps come one after the other.
_AT = """
MATCH (g:GraphGeneration {number: $generation}) SET g.locked = true REMOVE g.locked
RETURN g.applied_seq AS applied_seq"""
_REACHED = "MATCH (g:GraphGeneration {number: $generation}) SET g.applied_seq = $upto_seq"
# All edges of a star end at one of its nodes, or, where it has none, at the node it is about.
_UNDO_EDGES = """
UNWIND $stars AS star MATCH (n:Node {key: star.key})-[r]-(m:Node) WHERE r.star = star.number
DELETE r RETURN DISTINCT m.key AS key"""
_UNDO_LOST_EDGES = """
MATCH (n:Node {generation: $generation})-[r]->(m:Node) WHERE r.star IN $stars
DELETE r RETURN n.key AS key, m.key AS other"""
_UNDO_NODES = """
UNWIND $stars AS star MATCH (n:Node {generation: $generation, star: star})
SET n = {key: n.key, id: n.id, user_id: n.user_id, generation: n.generation, kind: n.kind} RETURN n.key AS key"""
_NODES = {kind: f"UNWIND $rows AS row MERGE (n:Node {{key: row.key}}) SET n = row, n:{kind}" for kind in KINDS}
_NAMED = {
    kind: f"UNWIND $rows AS row MERGE (n:Node {{key: row.key}}) ON CREATE SET n = row, n:{kind}" for kind in KINDS
}
_EDGES = {
    relation: "UNWIND $rows AS row MATCH (a:Node {key: row.source}) MATCH (b:Node {key: row.target})"
    f" CREATE (a)-[r:{relation}]->(b) SET r = row.properties"
    for relation in RELATIONS
}
_TIDY = "UNWIND $keys AS key MATCH (n:Node {key: key}) WHERE n.star IS NULL AND NOT (n)--() DELETE n"
_SUMS = tuple(
    f"{found} {{where}} RETURN {{key}} AS key, count(*) AS elements, sum(n.mark) AS marks"
    for found in (
        "MATCH (n:Node) WHERE n.generation = $generation AND n.star IS NOT NULL",
        "MATCH (o:Node)-[n]->() WHERE o.generation = $generation",
    )
)


class Neo4jGraphEngine:
    backend = "neo4j"

    def __init__(self, *, link: Neo4jLink) -> None:
        self._link = link

    async def prepare(self) -> None:
        await migrate(self._link)

    async def live(self) -> Generation | None:
        rows = await self._link.read(lambda tx: _run(tx, _LIVE))
        return Generation(number=rows[0]["number"], applied_seq=rows[0]["applied_seq"]) if rows else None

    async def begin(self) -> Generation:
        live = await self.live()
        await self._drop_but([] if live is None else [live.number])
        [row] = await self._link.write(lambda tx: _run(tx, _BEGIN))
        return Generation(number=row["number"], applied_seq=0)

    async def swap(self, generation: int) -> None:
        async def swapped(tx: Transaction) -> None:
            await _at(tx, generation)
            await _run(tx, _SWAP, generation=generation)

        await self._link.write(swapped)
        await self._drop_but([generation])

    async def apply(self, generation: int, changes: Sequence[Change], *, after_seq: int, upto_seq: int) -> None:
        kept = [change for change in changes if isinstance(change, Kept)]

        async def applied(tx: Transaction) -> None:
            at = await _at(tx, generation)
            if at != after_seq:
                raise Conflict(f"generation {generation!r} is at {at!r}, not {after_seq!r}")
            loose = await _undo(tx, generation, kept) if after_seq else set()
            await _write(tx, generation, kept)
            await _run(tx, _TIDY, keys=list(loose))
            await _run(tx, _REACHED, generation=generation, upto_seq=upto_seq)

        # Nothing of theirs comes any more. It goes in many transactions: one of all might not fit into memory.
        for change in changes:
            if isinstance(change, Erased):
                await self._link.alone(_ERASE, user_id=str(change.user_id))
        await self._link.write(applied)

    async def forget(self, generation: int, numbers: Collection[int]) -> None:
        async def forgotten(tx: Transaction) -> None:
            await _at(tx, generation)
            rows = await _run(tx, _UNDO_LOST_EDGES, generation=generation, stars=list(numbers))
            loose = {row[end] for row in rows for end in ("key", "other")}
            rows = await _run(tx, _UNDO_NODES, generation=generation, stars=list(numbers))
            await _run(tx, _TIDY, keys=list(loose | {row["key"] for row in rows}))

        await self._link.write(forgotten)

    async def sums(self, generation: int) -> Mapping[int, Sum]:
        return await self._sums(generation, f"n.star % {BUCKETS}", "")

    async def sums_of(self, generation: int, buckets: Collection[int]) -> Mapping[int, Sum]:
        return await self._sums(generation, "n.star", f"AND n.star % {BUCKETS} IN $buckets", buckets=list(buckets))

    async def _sums(self, generation: int, key: str, where: str, **parameters: Any) -> Mapping[int, Sum]:
        async def added(tx: Transaction) -> dict[int, Sum]:
            await _there(tx, generation)
            found: dict[int, Sum] = {}
            for statement in _SUMS:
                asked = statement.format(key=key, where=where)
                for row in await _run(tx, asked, generation=generation, **parameters):
                    before = found.get(row["key"], Sum(0, 0))
                    found[row["key"]] = Sum(before.count + row["elements"], before.marks + row["marks"])
            return found

        return await self._link.read(added)

    async def _drop_but(self, kept: list[int]) -> None:
        await self._link.alone(_DROP, kept=kept)
        await self._link.alone(_DROP_NODES, kept=kept)


async def _run(tx: Transaction, statement: str, **parameters: Any) -> list[Any]:
    return await fetched(await tx.run(statement, parameters))


async def _at(tx: Transaction, generation: int) -> int:
    """Nobody else changes it meanwhile. Raises NotFound."""
    rows = await _run(tx, _AT, generation=generation)
    if not rows:
        raise NotFound(f"no generation {generation!r}")
    at: int = rows[0]["applied_seq"]
    return at


async def _there(tx: Transaction, generation: int) -> None:
    if generation not in [row["number"] for row in await _run(tx, _NUMBERS)]:
        raise NotFound(f"no generation {generation!r}")


async def _undo(tx: Transaction, generation: int, kept: Sequence[Kept]) -> set[str]:
    """Returns the keys of nodes that may have become loose."""
    stars: list[dict[str, Any]] = [
        {"key": key_of(generation, one.star.user_id, one.star.id), "number": one.number} for one in kept
    ]
    edges = await _run(tx, _UNDO_EDGES, stars=stars)
    nodes = await _run(tx, _UNDO_NODES, generation=generation, stars=[one.number for one in kept])
    return {row["key"] for row in (*edges, *nodes)} | {star["key"] for star in stars}


async def _write(tx: Transaction, generation: int, kept: Sequence[Kept]) -> None:
    nodes: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    named: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    edges: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in kept:
        for node in one.star.nodes:
            nodes[node.kind].append(_node(generation, one, node))
        for edge in one.star.edges:
            edges[edge.type].append(_edge(generation, one, edge))
            for ref in (edge.source, edge.target):
                row = _named(generation, one.star.user_id, ref)
                named[ref.kind][row["key"]] = row
    for kind, rows in nodes.items():
        await _run(tx, _NODES[kind], rows=rows)  # type: ignore[index]
    for kind, by_key in named.items():
        await _run(tx, _NAMED[kind], rows=list(by_key.values()))  # type: ignore[index]
    for relation, rows in edges.items():
        await _run(tx, _EDGES[relation], rows=rows)  # type: ignore[index]


def key_of(generation: int, user_id: UUID, id: str) -> str:
    return f"{generation}/{user_id}/{id}"


def _named(generation: int, user_id: UUID, ref: Ref) -> dict[str, Any]:
    return {
        "key": key_of(generation, user_id, ref.id),
        "id": ref.id,
        "kind": ref.kind,
        "user_id": str(user_id),
        "generation": generation,
    }


def _node(generation: int, one: Kept, node: Node) -> dict[str, Any]:
    about = _named(generation, one.star.user_id, Ref(node.kind, node.id))
    return {**node.properties, **about, "star": one.number, "mark": mark_of(one.star.user_id, node)}


def _edge(generation: int, one: Kept, edge: Edge) -> dict[str, Any]:
    user_id = one.star.user_id
    properties: dict[str, Any] = {"star": one.number, "mark": mark_of(user_id, edge)}
    if edge.score is not None:
        properties["score"] = edge.score
    return {
        "source": key_of(generation, user_id, edge.source.id),
        "target": key_of(generation, user_id, edge.target.id),
        "properties": properties,
    }


OWN_PROPERTIES = frozenset({"key", "id", "kind", "user_id", "generation", "star", "mark"})


def shown_properties(properties: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Without what only the engine needs."""
    return {name: value for name, value in properties if name not in OWN_PROPERTIES}
