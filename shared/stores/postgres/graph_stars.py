"""Stars of the knowledge graph in the record, in order of their changes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import starmap
from typing import Any
from uuid import UUID

import asyncpg

from shared.crypto import Codec
from shared.errors import Unavailable
from shared.graph.marks import sum_of
from shared.ports.graph import BUCKETS, Change, Edge, Erased, Kept, Node, Ref, Star, Sum
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.one_active import one_active

# Whoever holds this advisory lock follows the record for the graph.
_LOCK = 0x4752_4150

# Nobody waits here: whoever erases a user has locked other users too, and would wait for this in turn.
_USERS = "SELECT id FROM users WHERE id = ANY ($1) FOR KEY SHARE NOWAIT"
_PUT = """
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::bytea[], $6::int[], $7::bigint[])
        WITH ORDINALITY AS t (user_id, subject, id, version, star, elements, marks, n)
), state AS (
    UPDATE graph_state SET seq = seq + cardinality($1::uuid[]) RETURNING seq - cardinality($1::uuid[]) AS before
)
INSERT INTO graph_stars AS g (user_id, subject, id, version, seq, star, elements, marks)
SELECT t.user_id, t.subject, t.id, t.version, s.before + t.n, t.star, t.elements, t.marks FROM given t, state s
ON CONFLICT (user_id, subject, id) DO UPDATE
SET version = excluded.version, seq = excluded.seq, star = excluded.star, elements = excluded.elements,
    marks = excluded.marks
WHERE g.version <= excluded.version AND (g.elements, g.marks) <> (excluded.elements, excluded.marks)"""
_ERASE = """
WITH given AS (
    SELECT user_id, row_number() OVER () AS n FROM unnest($1::uuid[]) AS t (user_id)
    WHERE NOT EXISTS (SELECT FROM graph_erasures e WHERE e.user_id = t.user_id)
), state AS (
    UPDATE graph_state SET seq = seq + cardinality($1::uuid[]) RETURNING seq - cardinality($1::uuid[]) AS before
)
INSERT INTO graph_erasures (user_id, seq) SELECT g.user_id, s.before + g.n FROM given g, state s
ON CONFLICT DO NOTHING"""
_KEPT = "number, seq, user_id, subject, id, version, star"
# In one statement: of two, the second would see what the first has missed, and pass it by.
_SINCE = f"""
(SELECT {_KEPT} FROM graph_stars WHERE seq > $1 ORDER BY seq LIMIT $2)
UNION ALL
(SELECT NULL, seq, user_id, NULL, NULL, NULL, NULL FROM graph_erasures WHERE seq > $1 ORDER BY seq LIMIT $2)
ORDER BY seq LIMIT $2"""
_STARS = f"SELECT {_KEPT} FROM graph_stars WHERE number = ANY ($1) ORDER BY number"
_SUMS = f"""
SELECT (number % {BUCKETS})::int AS bucket, sum(elements)::bigint AS elements, sum(marks)::bigint AS marks
FROM graph_stars WHERE seq <= $1 AND elements > 0 GROUP BY 1"""
_SUMS_OF = f"SELECT number, seq, elements, marks FROM graph_stars WHERE (number % {BUCKETS})::int = ANY ($1)"


class PostgresStars:
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._codec = Codec()

    def active(self) -> AbstractAsyncContextManager[None]:
        return one_active(self._database, _LOCK, name="sutazai-graph", lost="the record cannot be followed now")

    async def put(self, stars: Sequence[Star]) -> None:
        if stars:
            async with self._database.transaction() as connection:
                await self.put_within(connection, stars)

    async def put_within(self, connection: Connection, stars: Sequence[Star]) -> None:
        """As part of what else this transaction does."""
        newest: dict[tuple[UUID, str, str], Star] = {}
        for star in stars:
            key = (star.user_id, star.subject, star.id)
            if key not in newest or newest[key].version <= star.version:
                newest[key] = star
        users = {user_id for user_id, _, _ in newest}
        try:
            there = {row["id"] for row in await connection.fetch(_USERS, list(users))}
        except asyncpg.LockNotAvailableError as exc:
            raise Unavailable("a user is being changed") from exc
        given = [star for star in newest.values() if star.user_id in there]
        if given:
            await connection.execute(_PUT, *self._columns(given))

    def _columns(self, stars: Sequence[Star]) -> list[list[Any]]:
        sums = [sum_of(star) for star in stars]
        return [
            [star.user_id for star in stars],
            [star.subject for star in stars],
            [star.id for star in stars],
            [star.version for star in stars],
            [self._codec.seal_json(_written(star), **_place(star.user_id, star.subject, star.id)) for star in stars],
            [one.count for one in sums],
            [one.marks for one in sums],
        ]

    async def erased(self, users: Collection[UUID]) -> None:
        if users:
            await self._database.execute(_ERASE, list(users))

    async def since(self, seq: int, *, limit: int) -> Sequence[Change]:
        return [
            Erased(user_id=row["user_id"], seq=row["seq"]) if row["number"] is None else self._kept(row)
            for row in await self._database.fetch(_SINCE, seq, limit)
        ]

    async def newest(self) -> int:
        newest: int = await self._database.fetchval("SELECT seq FROM graph_state")
        return newest

    async def sums(self, *, upto_seq: int) -> Mapping[int, Sum]:
        rows = await self._database.fetch(_SUMS, upto_seq)
        return {row["bucket"]: Sum(row["elements"], row["marks"]) for row in rows}

    async def sums_of(self, buckets: Collection[int]) -> Mapping[int, tuple[int, Sum]]:
        rows = await self._database.fetch(_SUMS_OF, list(buckets))
        return {row["number"]: (row["seq"], Sum(row["elements"], row["marks"])) for row in rows}

    async def stars(self, numbers: Collection[int]) -> Sequence[Kept]:
        return [self._kept(row) for row in await self._database.fetch(_STARS, list(numbers))]

    def _kept(self, row: asyncpg.Record) -> Kept:
        said = self._codec.open_json(row["star"], **_place(row["user_id"], row["subject"], row["id"]))
        star = Star(
            user_id=row["user_id"],
            subject=row["subject"],
            id=row["id"],
            version=row["version"],
            nodes=tuple(starmap(Node, said["nodes"])),
            edges=tuple(_edges(said["edges"])),
        )
        return Kept(number=row["number"], seq=row["seq"], star=star)


def _place(user_id: UUID, subject: str, id: str) -> dict[str, str]:
    return {"table": "graph_stars", "column": "star", "row": f"{user_id}/{subject}/{id}"}


def _written(star: Star) -> dict[str, object]:
    return {
        "nodes": [[node.kind, node.id, dict(node.properties)] for node in star.nodes],
        "edges": [
            [edge.type, edge.source.kind, edge.source.id, edge.target.kind, edge.target.id, edge.score]
            for edge in star.edges
        ],
    }


def _edges(written: Iterable[Any]) -> Iterable[Edge]:
    for relation, source_kind, source, target_kind, target, score in written:
        yield Edge(relation, Ref(source_kind, source), Ref(target_kind, target), score)
