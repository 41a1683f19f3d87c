"""Qdrant in this process: the engine itself, in a folder of this machine."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import numpy as np
import qdrant_edge as edge

from shared.config import Settings
from shared.errors import SutazaiError, Unavailable
from shared.ports.vector_engine import Metric, Space
from shared.stores.qdrant.filters import TERMS, Conditions
from shared.stores.qdrant.points import CREATED, TEXT, VECTOR, QdrantPoints, Row, number_of, row_of
from shared.stores.qdrant.shards import Shards

T = TypeVar("T")

_DISTANCES: dict[Metric, edge.Distance] = {
    "cosine": edge.Distance.Dot,
    "dot": edge.Distance.Dot,
    "l2": edge.Distance.Euclid,
}
_INDEXES = {TERMS: edge.PayloadSchemaType.Keyword, CREATED: edge.PayloadSchemaType.Float}
_READERS = 4
# What it says of a point or a query; of itself, among others, "Service runtime error" and "Out of memory".
_REFUSALS = (
    "Vector dimension error",
    "Not existing vector name error",
    "Payload type does not match",
    "Validation failed",
    "Wrong usage of",
)


class QdrantEdge(QdrantPoints):
    """No other process may have the folder open. Every search is exact: the graph is built by calls that stop all else,
    and what one machine holds is compared in milliseconds."""

    _conditions = Conditions(edge, range=edge.RangeFloat, nothing=edge.HasIdCondition(set()))

    def __init__(self, *, settings: Settings) -> None:
        super().__init__()
        self._shards = Shards(settings.vectors_dir / "qdrant")

    async def __aenter__(self) -> Self:
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="qdrant")
        # One, so that what was given up waiting for is still done before what comes next.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="qdrant-writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._shards.close)

    async def _create(self, space: Space) -> None:
        def create() -> None:
            vector = edge.EdgeVectorParams(size=space.dimension, distance=_DISTANCES[space.metric])
            self._shards.create(space.name, edge.EdgeConfig(vectors={VECTOR: vector}))
            with self._shards.using(space.name) as shard:
                there = shard.info().payload_schema
                for key in _INDEXES.keys() - there.keys():
                    shard.update(edge.UpdateOperation.create_field_index(key, _INDEXES[key]))

        await self._run(self._writer, create)

    async def _delete(self, name: str) -> None:
        await self._run(self._writer, lambda: self._shards.remove(name))

    async def _names(self) -> Sequence[str]:
        return await self._run(self._readers, self._shards.names)

    async def _upsert(self, name: str, rows: Sequence[Row]) -> None:
        def upsert(shard: edge.EdgeShard) -> None:
            points = [
                edge.Point(row.number, {} if row.vector is None else {VECTOR: row.vector.tolist()}, dict(row.payload))
                for row in rows
            ]
            shard.update(edge.UpdateOperation.upsert_points(points))

        await self._write(name, upsert)

    async def _flush(self, name: str) -> None:
        await self._write(name, lambda shard: shard.flush())

    async def _retrieve(self, name: str, numbers: Sequence[int]) -> Sequence[Row]:
        fields = ["seq", "applied_seq"]
        # By the writer: after whatever is still being written.
        records = await self._write(name, lambda shard: shard.retrieve(list(numbers), fields, False))
        return [row_of(record) for record in records]

    async def _nearest(
        self, name: str, queries: Any, condition: Any, limit: int, *, exact: bool
    ) -> Sequence[Sequence[tuple[int, float]]]:
        params = edge.SearchParams(exact=exact)

        def nearest(shard: edge.EdgeShard) -> Sequence[Sequence[tuple[int, float]]]:
            asked = [
                edge.QueryRequest(
                    limit=limit,
                    query=edge.Query.Nearest(query, using=VECTOR),
                    filter=condition,
                    params=params,
                )
                for query in np.asarray(queries, np.float32).tolist()
            ]
            answers = shard.query_batch(edge.QueryBatchRequest(asked))
            return [[(number_of(point.id), point.score) for point in answer] for answer in answers]

        return await self._read(name, nearest)

    async def _page(self, name: str, condition: Any, start: int, limit: int, *, vectors: bool) -> Sequence[Row]:
        asked = edge.ScrollRequest(
            offset=start,
            limit=limit,
            filter=condition,
            with_payload=["seq", "id", "metadata", "created_at", TEXT] if vectors else ["seq"],
            with_vector=vectors,
        )
        records, _ = await self._read(name, lambda shard: shard.scroll(asked))
        return [row_of(record) for record in records]

    async def _count(self, name: str, condition: Any, *, exact: bool) -> int:
        return await self._read(name, lambda shard: shard.count(edge.CountRequest(exact=exact, filter=condition)))

    async def _is_exact(self, name: str, condition: Any) -> bool:
        return True

    async def _read(self, name: str, work: Callable[[edge.EdgeShard], T]) -> T:
        return await self._run(self._readers, lambda: self._used(name, work))

    async def _write(self, name: str, work: Callable[[edge.EdgeShard], T]) -> T:
        return await self._run(self._writer, lambda: self._used(name, work))

    def _used(self, name: str, work: Callable[[edge.EdgeShard], T]) -> T:
        with self._shards.using(name) as shard:
            return work(shard)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        def told() -> T:
            with _told():
                return work()

        return await asyncio.get_running_loop().run_in_executor(threads, told)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SutazaiError:
        raise
    except OSError as exc:
        raise Unavailable("Qdrant's folder cannot be used", reason=exc.strerror or "") from exc
    except Exception as exc:  # qdrant-edge raises nothing narrower
        reason = str(exc)[:200]
        if reason.startswith(_REFUSALS):
            raise SutazaiError("Qdrant refuses what it is asked", reason=reason) from exc
        raise Unavailable("Qdrant cannot answer now", reason=reason) from exc
