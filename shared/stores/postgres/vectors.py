"""Vectors as their owners write and read them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from events.base import Event
from events.vectors import VectorsDeleted, VectorsUpserted
from shared.errors import Conflict, Invalid, NotFound
from shared.ports.signals import Signals
from shared.ports.vector_engine import Point
from shared.ports.vectors import Kept, NewVector, Stored, Written
from shared.stores.postgres.collections import FIND, kept
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act, record_event
from shared.stores.postgres.vector_filters import condition
from shared.stores.postgres.vector_rows import at, is_at
from shared.stores.postgres.vector_texts import VectorTexts
from shared.stores.postgres.vector_truth import point_of
from shared.vectors.exact import scores
from shared.vectors.filters import Filter

# Existing ones keep their number and, unless they had been deleted, their age.
_UPSERT = f"""
WITH given AS (
    SELECT * FROM unnest($3::text[], $4::bytea[], $5::jsonb[], $6::text[], $7::bytea[])
        WITH ORDINALITY AS g (vector_id, embedding, metadata, text, content_hash, place)
), changed AS (
    SELECT g.*, v.number, v.content_hash IS NULL AS is_new
    FROM given g LEFT JOIN {at("vector_id", "g.vector_id")} AS v ON {is_at("vector_id", "g.vector_id")}
    WHERE v.content_hash IS DISTINCT FROM g.content_hash
), numbered AS (
    SELECT *, $8 + row_number() OVER (ORDER BY place) AS seq,
        coalesce(number, $9 + row_number() OVER (PARTITION BY number IS NULL ORDER BY place)) AS given_number
    FROM changed
), written AS (
    INSERT INTO vectors AS v (user_id, collection_name, vector_id, number, seq, embedding, metadata, text, content_hash)
    SELECT $1, $2, vector_id, given_number, seq, embedding, metadata, text, content_hash FROM numbered
    ON CONFLICT (user_id, collection_name, vector_id) DO UPDATE
    SET seq = excluded.seq, embedding = excluded.embedding, metadata = excluded.metadata, text = excluded.text,
        content_hash = excluded.content_hash, deleted_at = NULL,
        created_at = CASE WHEN v.content_hash IS NULL THEN now() ELSE v.created_at END
)
UPDATE vector_collections c
SET seq = c.seq + n.changed, last_number = greatest(c.last_number, n.last_number), vectors = c.vectors + n.added
FROM (
    SELECT count(*) AS changed, max(given_number) AS last_number, count(*) FILTER (WHERE is_new) AS added FROM numbered
) AS n
WHERE c.user_id = $1 AND c.name = $2
RETURNING n.changed, c.seq"""

_DELETE = f"""
WITH gone AS (
    SELECT v.ctid, $4 + row_number() OVER (ORDER BY v.number) AS seq
    FROM (SELECT DISTINCT unnest($3::text[]) AS vector_id) AS g
    JOIN {at("vector_id", "g.vector_id")} AS v ON {is_at("vector_id", "g.vector_id")}
    WHERE v.content_hash IS NOT NULL
), written AS (
    UPDATE vectors v SET seq = gone.seq, embedding = NULL, metadata = '{{}}', text = NULL, content_hash = NULL,
        deleted_at = now()
    FROM gone WHERE v.ctid = gone.ctid
)
UPDATE vector_collections c SET seq = c.seq + n.changed, vectors = c.vectors - n.changed
FROM (SELECT count(*) AS changed FROM gone) AS n
WHERE c.user_id = $1 AND c.name = $2
RETURNING n.changed, c.seq"""

_THERE = "v.user_id = $1 AND v.collection_name = $2 AND v.content_hash IS NOT NULL"
_GET = f"""
SELECT number, vector_id, embedding, metadata, text, created_at, seq
FROM {at("vector_id", "$3")} AS v WHERE {_THERE} AND vector_id = $3"""
_THOSE = f"""
SELECT v.number, vector_id, NULL::bytea AS embedding, metadata, text, created_at, seq
FROM unnest($3::bigint[]) AS g (number) JOIN {at("number", "g.number")} AS v ON {is_at("number", "g.number")}
WHERE content_hash IS NOT NULL"""
_CHANGES = """
SELECT number, vector_id, seq, embedding, metadata, text, extract(epoch FROM created_at)::float8 AS created_at
FROM vectors WHERE user_id = $1 AND collection_name = $2 AND seq > $3 AND (content_hash IS NOT NULL OR seq > $4)
ORDER BY seq LIMIT $5"""
_COUNT = f"SELECT count(*) FROM (SELECT FROM vectors v WHERE {_THERE} LIMIT $3) AS found"
_SCAN = f"SELECT number, embedding FROM vectors v WHERE {_THERE}"
_SCANNED_AT_ONCE = 2000


class PostgresVectors:
    def __init__(self, *, database: Database, signals: Signals, texts: VectorTexts) -> None:
        self._database = database
        self._signals = signals
        self._texts = texts

    async def upsert(
        self,
        user_id: UUID,
        name: str,
        vectors: Sequence[NewVector],
        *,
        model: str | None,
        collection_id: UUID | None = None,
    ) -> Written:
        read = await self._texts.read([vector.text for vector in vectors])
        async with self._database.transaction() as connection:
            collection, last_number = await _locked(connection, user_id, name, collection_id)
            _admit(collection, vectors, model)
            columns = zip(*map(_row, vectors), strict=True) if vectors else ([],) * 5
            values = (user_id, collection.name, *map(list, columns), collection.seq, last_number)
            row = await connection.fetchrow(_UPSERT, *values)
            assert row is not None
            await self._texts.write(connection, collection, [vector.id for vector in vectors], read)
            written = Written(changed=row["changed"], seq=row["seq"])
            event = VectorsUpserted(user_id=user_id, collection=collection.name, count=written.changed, seq=written.seq)
            await _publish(connection, event, collection, written, "upsert")
        self._signals.send("vectors", str(collection.id))
        return written

    async def delete(
        self, user_id: UUID, name: str, ids: Sequence[str], *, collection_id: UUID | None = None
    ) -> Written:
        async with self._database.transaction() as connection:
            collection, _ = await _locked(connection, user_id, name, collection_id)
            row = await connection.fetchrow(_DELETE, user_id, collection.name, list(ids), collection.seq)
            assert row is not None
            await self._texts.write(connection, collection, ids, [None] * len(ids))
            written = Written(changed=row["changed"], seq=row["seq"])
            event = VectorsDeleted(user_id=user_id, collection=collection.name, count=written.changed, seq=written.seq)
            await _publish(connection, event, collection, written, "delete")
        self._signals.send("vectors", str(collection.id))
        return written

    async def get(self, user_id: UUID, name: str, vector_id: str) -> Stored:
        collection = kept(await self._database.fetchrow(FIND, user_id, name), name)
        row = await self._database.fetchrow(_GET, user_id, collection.name, vector_id)
        if row is None:
            raise NotFound(f"no vector {vector_id[:200]!r} in {name!r}")
        return _stored(row)

    async def those(self, collection: Kept, numbers: Sequence[int]) -> Mapping[int, Stored]:
        rows = await self._database.fetch(_THOSE, collection.user_id, collection.name, list(numbers))
        return {row["number"]: _stored(row) for row in rows}

    async def changes(self, collection: Kept, *, after: int, deleted_after: int, limit: int) -> Sequence[Point]:
        place = (collection.user_id, collection.name)
        return [point_of(row) for row in await self._database.fetch(_CHANGES, *place, after, deleted_after, limit)]

    async def scan(
        self,
        collection: Kept,
        query: NDArray[np.float32],
        *,
        top_k: int,
        filter: Filter | None,
        most: int,
        contains: str | None = None,
    ) -> list[tuple[int, float]] | None:
        place = (collection.user_id, collection.name)
        holds, values = condition(filter, contains=contains, first=3)
        numbers, found = np.zeros(0, np.int64), np.zeros(0, np.float32)
        async with self._database.transaction() as connection:
            if await connection.fetchval(_COUNT, *place, most + 1) > most:
                return None
            cursor = await connection.cursor(f"{_SCAN} AND ({holds})", *place, *values)
            while rows := await cursor.fetch(_SCANNED_AT_ONCE):
                vectors = np.frombuffer(b"".join(row["embedding"] for row in rows), "<f4").reshape(len(rows), -1)
                numbers = np.append(numbers, [row["number"] for row in rows])
                found = np.append(found, scores(collection.metric, vectors, query))
        order = np.lexsort((numbers, -found))[:top_k]
        return [(int(numbers[place]), float(found[place])) for place in order]

    async def lexical(
        self, collection: Kept, query: str, *, top_k: int, filter: Filter | None = None, contains: str | None = None
    ) -> list[tuple[int, float]]:
        return await self._texts.ranked(collection, query, top_k=top_k, filter=filter, contains=contains)


async def _locked(connection: Connection, user_id: UUID, name: str, wanted: UUID | None) -> tuple[Kept, int]:
    """The collection, which nobody else writes to until this transaction ends, and the last number it has given."""
    found = kept(await connection.fetchrow(FIND, user_id, name), name)
    if wanted not in (None, found.id):
        raise NotFound(f"the collection {name[:200]!r} is gone, and another one has its name")
    # By its id: the name could be another one's by the time that the lock is ours.
    statement = "SELECT seq, last_number, model_id, texts FROM vector_collections WHERE id = $1 FOR NO KEY UPDATE"
    row = await connection.fetchrow(statement, found.id)
    if row is None:
        raise NotFound(f"no collection {name[:200]!r}")
    now = replace(found, model=row["model_id"], seq=row["seq"], texts=row["texts"])
    return now, row["last_number"]


def _admit(collection: Kept, vectors: Sequence[NewVector], model: str | None) -> None:
    if model != collection.model:
        said = f"vectors of {collection.model!r}" if collection.model else "vectors of its owner's own"
        raise Conflict(f"{collection.name!r} holds {said}, and none of {model!r}", model=collection.model)
    if len({vector.id for vector in vectors}) != len(vectors):
        raise Invalid("a vector is given twice")
    for vector in vectors:
        if vector.vector.shape != (collection.dimension,):
            size = vector.vector.shape[0] if vector.vector.ndim == 1 else vector.vector.shape
            raise Invalid(
                f"the vector {vector.id!r} has {size} numbers, and {collection.name!r} takes {collection.dimension}"
            )


def _row(new: NewVector) -> tuple[str, bytes, Mapping[str, object], str | None, bytes]:
    embedding = new.vector.astype("<f4").tobytes()
    hashed = sha256(embedding)
    hashed.update(repr((sorted(new.metadata.items()), new.text)).encode())
    return new.id, embedding, dict(new.metadata), new.text, hashed.digest()


async def _publish(connection: Connection, event: Event, collection: Kept, written: Written, act: str) -> None:
    await record_act(
        connection,
        actor=collection.user_id,
        action=f"vectors.{act}",
        on=f"collection:{collection.name} changed={written.changed}",
    )
    if written.changed:
        source, subject = f"/functions/{act}_vectors", str(collection.id)
        await record_event(connection, event, source=source, subject=subject, user_id=collection.user_id)


def _stored(row: asyncpg.Record) -> Stored:
    return Stored(
        number=row["number"],
        id=row["vector_id"],
        vector=np.frombuffer(row["embedding"] or b"", "<f4"),
        metadata=row["metadata"],
        text=row["text"],
        created_at=row["created_at"],
        seq=row["seq"],
    )
