"""Qdrant on a server."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import numpy as np
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from shared.config import Settings
from shared.errors import ConfigurationError, NotFound, SutazaiError, Unavailable
from shared.ports.vector_engine import Metric, Space
from shared.stores.qdrant.filters import TERMS, Conditions
from shared.stores.qdrant.points import CREATED, TEXT, VECTOR, QdrantPoints, Row, number_of, row_of

_DISTANCES: dict[Metric, models.Distance] = {
    "cosine": models.Distance.DOT,
    "dot": models.Distance.DOT,
    "l2": models.Distance.EUCLID,
}
_INDEXES = {TERMS: models.PayloadSchemaType.KEYWORD, CREATED: models.PayloadSchemaType.FLOAT}
# Up to so many are compared one by one, as are those that pass a filter which few do: there the graph misses much.
_COMPARED = 20_000
_FEW = 0.2
_EF = 256
# Refused for who asks, or when: the key, a lock, too slow, too much. All else from 400 on is for what is asked.
_PASSING = frozenset({401, 403, 408, 429})


class QdrantServer(QdrantPoints):
    """Every change is waited for."""

    _conditions = Conditions(models, range=models.Range, nothing=models.HasIdCondition(has_id=[]))

    def __init__(self, *, settings: Settings) -> None:
        super().__init__()
        self._url, self._key = _place(settings.qdrant_url)

    async def __aenter__(self) -> Self:
        self._client = AsyncQdrantClient(
            url=self._url, api_key=self._key, timeout=int(self.patience_s), check_compatibility=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def _create(self, space: Space) -> None:
        with _told(space.name):
            if not await self._client.collection_exists(space.name):
                params = models.VectorParams(size=space.dimension, distance=_DISTANCES[space.metric])
                await self._client.create_collection(space.name, vectors_config={VECTOR: params})
            there = (await self._client.get_collection(space.name)).payload_schema
            for key in _INDEXES.keys() - there.keys():
                await self._client.create_payload_index(space.name, key, _INDEXES[key], wait=True)

    async def _delete(self, name: str) -> None:
        with _told(name):
            await self._client.delete_collection(name)

    async def _names(self) -> Sequence[str]:
        with _told(""):
            return [one.name for one in (await self._client.get_collections()).collections]

    async def _upsert(self, name: str, rows: Sequence[Row]) -> None:
        points = [
            models.PointStruct(
                id=row.number,
                vector={} if row.vector is None else {VECTOR: row.vector.tolist()},
                payload=dict(row.payload),
            )
            for row in rows
        ]
        with _told(name):
            await self._client.upsert(name, points, wait=True, ordering=models.WriteOrdering.STRONG)

    async def _flush(self, name: str) -> None:
        """A change that was waited for is durable."""

    async def _retrieve(self, name: str, numbers: Sequence[int]) -> Sequence[Row]:
        with _told(name):
            records = await self._client.retrieve(name, list(numbers), with_payload=["seq", "applied_seq"])
        return [row_of(record) for record in records]

    async def _nearest(
        self, name: str, queries: Any, condition: Any, limit: int, *, exact: bool
    ) -> Sequence[Sequence[tuple[int, float]]]:
        asked = [
            models.QueryRequest(
                query=query,
                using=VECTOR,
                filter=condition,
                limit=limit,
                params=models.SearchParams(exact=exact, hnsw_ef=None if exact else max(_EF, 4 * limit)),
            )
            for query in np.asarray(queries, np.float32).tolist()
        ]
        with _told(name):
            answers = await self._client.query_batch_points(name, asked)
        return [[(number_of(point.id), point.score) for point in answer.points] for answer in answers]

    async def _page(self, name: str, condition: Any, start: int, limit: int, *, vectors: bool) -> Sequence[Row]:
        with _told(name):
            records, _ = await self._client.scroll(
                name,
                scroll_filter=condition,
                limit=limit,
                offset=start,
                with_payload=["seq", "id", "metadata", "created_at", TEXT] if vectors else ["seq"],
                with_vectors=vectors,
            )
        return [row_of(record) for record in records]

    async def _count(self, name: str, condition: Any, *, exact: bool) -> int:
        with _told(name):
            return (await self._client.count(name, count_filter=condition, exact=exact)).count

    async def _is_exact(self, name: str, condition: Any) -> bool:
        held = await self._count(name, None, exact=False)
        if held <= _COMPARED or condition is None:
            return held <= _COMPARED
        return await self._count(name, condition, exact=False) <= max(_COMPARED, _FEW * held)


def _place(url: str) -> tuple[str, str | None]:
    """The server, and the key that it asks for: `https://:key@host:6333`. Raises ConfigurationError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("SUTAZAI_QDRANT_URL is not a URL such as https://:key@host:6333")
    host = parts.netloc.rpartition("@")[2]
    where = host if parts.port else f"{host}:6333"
    return f"{parts.scheme}://{where}{parts.path.rstrip('/')}", unquote(parts.password) if parts.password else None


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except UnexpectedResponse as exc:
        if exc.status_code == 404:
            raise NotFound(f"no space {name!r}") from exc
        if exc.status_code in range(400, 500) and exc.status_code not in _PASSING:
            raise SutazaiError("Qdrant refuses what it is asked", status=exc.status_code) from exc
        raise Unavailable("Qdrant cannot answer now", status=exc.status_code) from exc
    except (ApiException, QdrantException) as exc:
        raise Unavailable("Qdrant cannot be reached") from exc
