"""For tests: a vector service that holds no engine and compares with every vector of the record."""

from collections.abc import Sequence

import numpy as np

from shared.errors import Unavailable
from shared.ports.embedders import Kind
from shared.ports.vector_engine import Hit
from shared.ports.vector_service import Embedded, EngineState, Found, Model, Query
from shared.ports.vectors import Vectors

_MOST = 100_000


class ScanningService:
    """`is_away`: nobody answers."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self.is_away = False

    async def search(self, query: Query) -> Found:
        if self.is_away or query.vector is None:
            raise Unavailable("the vector service does not answer")
        found = await self._vectors.scan(
            query.collection, query.vector, top_k=query.top_k, filter=query.filter, most=_MOST
        )
        assert found is not None
        return Found(
            hits=[Hit(number, score) for number, score in found],
            backend="faiss",
            exact=True,
            degraded=False,
            applied_seq=query.collection.seq,
            lag_seq=0,
            embedding_ms=0,
            search_ms=0,
            vector=query.vector,
        )

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        del texts, kind
        return Embedded(model=Model(name="none", id=model or "none", dimension=1), vectors=np.zeros((0, 1), np.float32))

    async def models(self) -> Sequence[Model]:
        return []

    async def engines(self) -> Sequence[EngineState]:
        return []
