"""The vector service, elsewhere: what asks alike travels in one request."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.batch import Batcher
from shared.errors import Invalid
from shared.ports.embedders import Kind
from shared.ports.vector_service import Embedded, EngineState, Found, Model, Query
from shared.stores.vector_requests import VectorRequests
from shared.strict_json import Json, load
from shared.vectors.serving import protocol
from shared.vectors.serving.protocol import MOST_QUERIES, MOST_TEXTS, Searches

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A little longer than the service takes at most to say that it cannot.
_SEARCH_S = 15.0
_EMBED_S = 60.0
_STATE_S = 3.0
_SWEEP_S = 300.0
_PARALLEL = 4
_KINDS = 256


class HttpVectorService:
    def __init__(self, *, requests: VectorRequests) -> None:
        self._requests = requests
        # Searches that differ in their vector alone travel together while others are under way.
        self._alike: dict[str, Batcher[Query, Found]] = {}

    async def search(self, query: Query) -> Found:
        _check(query)
        alike = _likeness(query)
        if alike not in self._alike:
            if len(self._alike) >= _KINDS:
                self._alike = {kind: batcher for kind, batcher in self._alike.items() if not batcher.is_idle}
            self._alike[alike] = Batcher(self._searched, size=MOST_QUERIES, parallel=_PARALLEL)
        return await self._alike[alike].submit(query)

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        found = []
        for start in range(0, max(1, len(texts)), MOST_TEXTS):
            body = protocol.write_embed(texts[start : start + MOST_TEXTS], model=model, kind=kind)
            found.append(protocol.read_embedded(await self._requests.ask("/embed", body, within_s=_EMBED_S)))
        if len(found) == 1:
            return found[0]
        return Embedded(model=found[0].model, vectors=np.concatenate([each.vectors for each in found]))

    async def models(self) -> Sequence[Model]:
        return [Model.model_validate(each) for each in await self._listed("/models")]

    async def engines(self) -> Sequence[EngineState]:
        return [EngineState.model_validate(each) for each in await self._listed("/engines")]

    async def sweep(self) -> Sequence[EngineState]:
        """Compares every engine with the record now, and mends what differs."""
        return [EngineState.model_validate(each) for each in await self._listed("/sweep", within_s=_SWEEP_S)]

    async def _searched(self, queries: Sequence[Query]) -> Sequence[Found | Exception]:
        one = queries[0]
        of_texts = one.text is not None
        asked = Searches(
            collection=one.collection,
            top_k=one.top_k,
            vectors=_rows(() if of_texts else queries, one.collection.dimension),
            texts=[query.text or "" for query in queries] if of_texts else None,
            filter=one.filter,
            contains=one.contains,
            backend=one.backend,
            min_seq=one.min_seq,
        )
        body = await self._requests.ask("/search", protocol.write_searches(asked), within_s=_SEARCH_S)
        answered = protocol.read_answered(body, queries=len(queries))
        vectors = asked.vectors if answered.vectors is None else answered.vectors
        return [
            Found(
                hits=hits,
                backend=answered.backend,
                exact=answered.hits.exact,
                degraded=answered.degraded,
                applied_seq=answered.hits.applied_seq,
                lag_seq=answered.lag_seq,
                embedding_ms=answered.embedding_ms,
                search_ms=answered.search_ms,
                vector=vector,
            )
            for hits, vector in zip(answered.hits.of, vectors, strict=True)
        ]

    async def _listed(self, path: str, *, within_s: float = _STATE_S) -> Sequence[Json]:
        found = load(await self._requests.ask(path, b"", within_s=within_s))
        assert isinstance(found, list)
        return found


def _check(query: Query) -> None:
    """One that is wrong must not spoil those that it travels with. Raises Invalid."""
    dimension = query.collection.dimension
    if (query.text is None) == (query.vector is None):
        raise Invalid("a search is for a text, or for a vector")
    if query.vector is not None and (query.vector.shape != (dimension,) or not np.isfinite(query.vector).all()):
        raise Invalid(f"the query is not {dimension} finite numbers")
    if not 1 <= query.top_k <= protocol.MOST_HITS:
        raise Invalid(f"top_k is not within 1 and {protocol.MOST_HITS}: {query.top_k!r}")


def _likeness(query: Query) -> str:
    """By what is written: to Python a filter with 1 equals one with True."""
    kept = query.collection
    asked = (query.top_k, query.filter, query.contains, query.backend, query.min_seq)
    return repr((kept.id, kept.seq, query.text is None, asked))


def _rows(queries: Sequence[Query], dimension: int) -> "NDArray[np.float32]":
    vectors = [query.vector for query in queries if query.vector is not None]
    return np.array(vectors, np.float32).reshape(len(queries), dimension)
