"""The knowledge graph as rows: on one machine, what Neo4j is elsewhere."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from shared.crypto import Codec
from shared.errors import Conflict, NotFound
from shared.graph.marks import mark_of
from shared.ports.graph import BUCKETS, Change, Edge, Erased, Generation, Kept, Node, Ref, Sum
from shared.stores.postgres.database import Connection, Database

_LIVE = "SELECT number, applied_seq FROM graph_generations WHERE live"
_AT = "SELECT applied_seq FROM graph_generations WHERE number = $1 FOR UPDATE"
_BEGIN = "INSERT INTO graph_generations DEFAULT VALUES RETURNING number"
_DROP = (
    "DELETE FROM graph_edges WHERE generation <> ALL ($1)",
    "DELETE FROM graph_nodes WHERE generation <> ALL ($1)",
    "DELETE FROM graph_generations WHERE number <> ALL ($1)",
)
_ERASE = ("DELETE FROM graph_edges WHERE user_id = $1", "DELETE FROM graph_nodes WHERE user_id = $1")
_UNDO_EDGES = """
DELETE FROM graph_edges WHERE generation = $1 AND star = ANY ($2) RETURNING user_id, source, target"""
_UNDO_NODES = """
UPDATE graph_nodes SET star = NULL, mark = NULL, properties = NULL
WHERE generation = $1 AND star = ANY ($2) RETURNING user_id, id"""
# Of users who are gone nothing is written: an erasure follows.
_NODES = """
INSERT INTO graph_nodes AS n (generation, user_id, id, kind, star, mark, properties)
SELECT $1, t.* FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bytea[])
    AS t (user_id, id, kind, star, mark, properties)
WHERE EXISTS (SELECT FROM users u WHERE u.id = t.user_id)
ON CONFLICT (user_id, generation, id) DO UPDATE
SET kind = excluded.kind, star = excluded.star, mark = excluded.mark, properties = excluded.properties"""
_NAMED = """
INSERT INTO graph_nodes (generation, user_id, id, kind)
SELECT $1, t.* FROM unnest($2::uuid[], $3::text[], $4::text[]) AS t (user_id, id, kind)
WHERE EXISTS (SELECT FROM users u WHERE u.id = t.user_id)
ON CONFLICT (user_id, generation, id) DO NOTHING"""
_EDGES = """
INSERT INTO graph_edges AS e (generation, user_id, source, type, target, score, star, mark)
SELECT $1, t.*
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::float8[], $7::bigint[], $8::bigint[])
    AS t (user_id, source, type, target, score, star, mark)
WHERE EXISTS (SELECT FROM users u WHERE u.id = t.user_id)
ON CONFLICT (user_id, generation, source, type, target) DO UPDATE
SET score = excluded.score, star = excluded.star, mark = excluded.mark"""
_TIDY = """
DELETE FROM graph_nodes n USING unnest($2::uuid[], $3::text[]) AS t (user_id, id)
WHERE n.generation = $1 AND n.user_id = t.user_id AND n.id = t.id AND n.star IS NULL
  AND NOT EXISTS (SELECT FROM graph_edges e WHERE e.user_id = n.user_id AND e.generation = $1 AND e.source = n.id)
  AND NOT EXISTS (SELECT FROM graph_edges e WHERE e.user_id = n.user_id AND e.generation = $1 AND e.target = n.id)"""
_ELEMENTS = """
(SELECT star, mark FROM graph_nodes WHERE generation = $1 AND star IS NOT NULL
 UNION ALL SELECT star, mark FROM graph_edges WHERE generation = $1) e"""
_SUMS = f"""
SELECT (star % {BUCKETS})::int AS key, count(*) AS elements, sum(mark)::bigint AS marks FROM {_ELEMENTS} GROUP BY 1"""
_SUMS_OF = f"""
SELECT star AS key, count(*) AS elements, sum(mark)::bigint AS marks FROM {_ELEMENTS}
WHERE (star % {BUCKETS})::int = ANY ($2) GROUP BY 1"""
_REACHED = "UPDATE graph_generations SET applied_seq = $2 WHERE number = $1"
# Millions of rows go or come at once when a generation does.
_PATIENCE_S = 600


class PostgresGraphEngine:
    backend = "postgres"

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    async def prepare(self) -> None:
        """Migrations have done it."""

    async def live(self) -> Generation | None:
        row = await self._database.fetchrow(_LIVE)
        return None if row is None else Generation(number=row["number"], applied_seq=row["applied_seq"])

    async def begin(self) -> Generation:
        async with self._database.transaction() as connection:
            live = await connection.fetchrow(_LIVE)
            await _drop_but(connection, [] if live is None else [live["number"]])
            number: int = await connection.fetchval(_BEGIN)
        return Generation(number=number, applied_seq=0)

    async def swap(self, generation: int) -> None:
        async with self._database.transaction() as connection:
            await _at(connection, generation)
            await connection.execute("UPDATE graph_generations SET live = false WHERE live")
            await connection.execute("UPDATE graph_generations SET live = true WHERE number = $1", generation)
            await _drop_but(connection, [generation])
            # Whoever asks next would else be answered by the plans of an empty table.
            await connection.execute("ANALYZE graph_nodes, graph_edges", timeout=_PATIENCE_S)

    async def apply(self, generation: int, changes: Sequence[Change], *, after_seq: int, upto_seq: int) -> None:
        kept = [change for change in changes if isinstance(change, Kept)]
        async with self._database.transaction() as connection:
            at = await _at(connection, generation)
            if at != after_seq:
                raise Conflict(f"generation {generation!r} is at {at!r}, not {after_seq!r}")
            if after_seq:
                loose = await _undo(connection, generation, [one.number for one in kept])
                await self._write(connection, generation, kept)
                await connection.execute(_TIDY, generation, *_columns(loose, 2))
            else:
                await self._write(connection, generation, kept)
            for change in changes:
                if isinstance(change, Erased):
                    for statement in _ERASE:
                        await connection.execute(statement, change.user_id, timeout=_PATIENCE_S)
            await connection.execute(_REACHED, generation, upto_seq)

    async def forget(self, generation: int, numbers: Collection[int]) -> None:
        async with self._database.transaction() as connection:
            await _at(connection, generation)
            loose = await _undo(connection, generation, numbers)
            await connection.execute(_TIDY, generation, *_columns(loose, 2))

    async def sums(self, generation: int) -> Mapping[int, Sum]:
        async with self._database.transaction() as connection:
            await _at(connection, generation)
            rows = await connection.fetch(_SUMS, generation, timeout=_PATIENCE_S)
        return {row["key"]: Sum(row["elements"], row["marks"]) for row in rows}

    async def sums_of(self, generation: int, buckets: Collection[int]) -> Mapping[int, Sum]:
        async with self._database.transaction() as connection:
            await _at(connection, generation)
            rows = await connection.fetch(_SUMS_OF, generation, list(buckets), timeout=_PATIENCE_S)
        return {row["key"]: Sum(row["elements"], row["marks"]) for row in rows}

    async def _write(self, connection: Connection, generation: int, kept: Sequence[Kept]) -> None:
        nodes = [(one.star.user_id, *self._node(one, node)) for one in kept for node in one.star.nodes]
        named = {(one.star.user_id, ref.id, ref.kind) for one in kept for edge in one.star.edges for ref in _ends(edge)}
        edges = [_edge(one, edge) for one in kept for edge in one.star.edges]
        await connection.execute(_NODES, generation, *_columns(nodes, 6))
        await connection.execute(_NAMED, generation, *_columns(named, 3))
        await connection.execute(_EDGES, generation, *_columns(edges, 7))

    def _node(self, one: Kept, node: Node) -> tuple[Any, ...]:
        sealed = self._codec.seal_json(
            dict(node.properties), table="graph_nodes", column="properties", row=f"{one.star.user_id}/{node.id}"
        )
        return node.id, node.kind, one.number, mark_of(one.star.user_id, node), sealed


def _ends(edge: Edge) -> tuple[Ref, Ref]:
    return edge.source, edge.target


def _edge(one: Kept, edge: Edge) -> tuple[Any, ...]:
    mark = mark_of(one.star.user_id, edge)
    return one.star.user_id, edge.source.id, edge.type, edge.target.id, edge.score, one.number, mark


def _columns(rows: Collection[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True)) if rows else [()] * count


async def _at(connection: Connection, generation: int) -> int:
    """Nobody else changes it meanwhile. Raises NotFound."""
    at: int | None = await connection.fetchval(_AT, generation)
    if at is None:
        raise NotFound(f"no generation {generation!r}")
    return at


async def _undo(connection: Connection, generation: int, numbers: Collection[int]) -> set[tuple[UUID, str]]:
    """Returns nodes that may have become loose."""
    edges = await connection.fetch(_UNDO_EDGES, generation, list(numbers))
    nodes = await connection.fetch(_UNDO_NODES, generation, list(numbers))
    found = {(row["user_id"], row[end]) for row in edges for end in ("source", "target")}
    return found | {(row["user_id"], row["id"]) for row in nodes}


async def _drop_but(connection: Connection, generations: list[int]) -> None:
    for statement in _DROP:
        await connection.execute(statement, generations, timeout=_PATIENCE_S)
