"""The record as appliers and reconcilers read it: changes in order, versions, and how far each engine is."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Backend, Point, Space
from shared.ports.vectors import Kept, Progress
from shared.stores.postgres.collections import KEPT, kept
from shared.stores.postgres.database import Database
from shared.stores.postgres.one_active import one_active

_COLLECTIONS = f"SELECT {KEPT} FROM vector_collections c ORDER BY c.id"
_POINT = """
v.number, v.vector_id, v.seq, v.embedding, v.metadata, v.text, extract(epoch FROM v.created_at)::float8 AS created_at"""
_OF = "vector_collections c JOIN vectors v ON v.user_id = c.user_id AND v.collection_name = c.name WHERE c.id = $1"
# Not joined: of a join nobody knows that the index gives its order, and every batch would sort all that is left.
_SINCE = f"""
SELECT {_POINT} FROM vectors v
WHERE v.user_id = (SELECT user_id FROM vector_collections WHERE id = $1)
  AND v.collection_name = (SELECT name FROM vector_collections WHERE id = $1) AND v.seq > $2
ORDER BY v.seq LIMIT $3"""
_POINTS = f"SELECT {_POINT} FROM {_OF} AND v.number = ANY ($2) ORDER BY v.number"
_VERSIONS = f"""
SELECT array_agg(v.number ORDER BY v.number) AS numbers, array_agg(v.seq ORDER BY v.number) AS seqs
FROM {_OF} AND v.content_hash IS NOT NULL AND v.seq <= $2"""
_PROGRESS = """
SELECT collection_id, epoch, applied_seq, error, updated_at FROM vector_backend_state WHERE backend = $1"""
# An engine that was lost begins again, below where it was, in its next epoch. The lock waits for whoever deletes the
# collection: without it, what is found here may be gone when the row that refers to it is written.
_NOTE = """
INSERT INTO vector_backend_state AS s (collection_id, backend, epoch, applied_seq, error)
SELECT id, $2, $3, $4, $5 FROM vector_collections WHERE id = $1 FOR KEY SHARE
ON CONFLICT (collection_id, backend) DO UPDATE
SET epoch = excluded.epoch, applied_seq = excluded.applied_seq, error = excluded.error, updated_at = now()
WHERE s.epoch <= excluded.epoch"""
# Whoever comes back after a day with less than this has missed a deletion that nobody can tell it of.
_TRIM = """
WITH passed AS (
    SELECT c.id, c.user_id, c.name, min(coalesce(s.applied_seq, 0)) AS seq
    FROM vector_collections c CROSS JOIN unnest(c.backends) AS b (backend)
    LEFT JOIN vector_backend_state s ON s.collection_id = c.id AND s.backend = b.backend
    GROUP BY c.id
), forgotten AS (
    DELETE FROM vectors v USING passed p
    WHERE v.user_id = p.user_id AND v.collection_name = p.name AND v.deleted_at < now() - $1::interval
      AND v.seq <= p.seq
    RETURNING p.id, v.seq
)
UPDATE vector_collections c SET trimmed_seq = f.seq
FROM (SELECT id, max(seq) AS seq FROM forgotten GROUP BY id) AS f WHERE c.id = f.id AND c.trimmed_seq < f.seq"""
# Who fills a server.
_LOCKS: Mapping[Backend, int] = {"faiss": 0x5645_4346, "qdrant": 0x5645_4351, "chroma": 0x5645_4343}
_REMEMBERED = timedelta(days=1)


class PostgresTruth:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def collections(self) -> Sequence[Kept]:
        return [kept(row, "") for row in await self._database.fetch(_COLLECTIONS)]

    async def since(self, collection_id: UUID, seq: int, *, limit: int = 1000) -> Sequence[Point]:
        return [point_of(row) for row in await self._database.fetch(_SINCE, collection_id, seq, limit)]

    async def versions(self, collection_id: UUID, *, upto_seq: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        row = await self._database.fetchrow(_VERSIONS, collection_id, upto_seq)
        assert row is not None
        return np.array(row["numbers"] or [], np.int64), np.array(row["seqs"] or [], np.int64)

    async def points(self, collection_id: UUID, numbers: Sequence[int]) -> Sequence[Point]:
        return [point_of(row) for row in await self._database.fetch(_POINTS, collection_id, list(numbers))]

    async def progress(self, backend: Backend) -> Mapping[UUID, Progress]:
        return {
            row["collection_id"]: Progress(
                epoch=row["epoch"],
                applied_seq=row["applied_seq"],
                error=row["error"],
                updated_at=row["updated_at"],
            )
            for row in await self._database.fetch(_PROGRESS, backend)
        }

    async def note(self, space: Space, backend: Backend, *, applied_seq: int, error: str | None = None) -> None:
        await self._database.execute(_NOTE, space.collection_id, backend, space.epoch, applied_seq, error)

    def active(self, backend: Backend) -> AbstractAsyncContextManager[None]:
        lost = f"this process no longer fills {backend}"
        return one_active(self._database, _LOCKS[backend], name=f"sutazai-{backend}", lost=lost)

    async def trim(self) -> None:
        await self._database.execute(_TRIM, _REMEMBERED)


def point_of(row: asyncpg.Record) -> Point:
    embedding = row["embedding"]
    return Point(
        number=row["number"],
        vector_id=row["vector_id"],
        seq=row["seq"],
        vector=None if embedding is None else np.frombuffer(embedding, "<f4"),
        metadata=row["metadata"],
        text=row["text"],
        created_at=row["created_at"],
    )
