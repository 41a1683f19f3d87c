"""A search: by engines and by words, what both say fused, and shown from the record.

What an engine holds may be behind the record, so that alone says what is there and what it looks like. Without the
vector service the record compares by itself, as far as that goes.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from shared.errors import Busy, Conflict, Invalid, NotFound, SutazaiError, Unavailable
from shared.ports.vector_answers import SearchAnswer, SearchResult, VectorAnswers
from shared.ports.vector_engine import Backend
from shared.ports.vector_service import Query, VectorService
from shared.ports.vectors import Collections, Kept, Stored, Vectors
from shared.vectors.filters import Filter, passes
from shared.vectors.hybrid import fused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of each ranking that is fused: what neither has so far up is not among the best of both.
DEPTH = 100
# The record compares so many vectors in some tenths of a second.
SCAN_MOST = 20_000
_DEPTH_MOST = 1000
# The service finds no more at once.
_HITS_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """For `query`, a text, or `vector`, or both: then the text is for words alone.

    `hybrid`: None is True for a text without `threshold`, which is a similarity where there is but one ranking.
    """

    query: str | None = None
    vector: Sequence[float] | None = None
    top_k: int = 10
    threshold: float | None = None
    filter: Filter | None = None
    contains: str | None = None
    hybrid: bool | None = None
    backend: Backend | None = None
    min_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dense:
    """`ranked` is None where nothing could compare vectors."""

    ranked: Sequence[tuple[int, float]] | None
    backend: Backend | Literal["postgres"] = "postgres"
    exact: bool = False
    degraded: bool = True
    lag_seq: int = 0
    embedding_ms: float = 0.0


class Searcher:
    """For one user. Raises NotFound, Invalid, Conflict for what the collection cannot do, Unavailable."""

    def __init__(self, user_id: UUID, *, collections: Collections, vectors: Vectors, service: VectorService) -> None:
        self._user_id = user_id
        self._collections = collections
        self._vectors = vectors
        self._service = service

    async def found(self, name: str, search: Search, *, request: str, answers: VectorAnswers) -> SearchAnswer:
        """`request` tells searches of one collection apart."""
        began = time.perf_counter()
        collection = await self._collections.find(self._user_id, name)
        _check(collection, search)
        answer, is_known = await answers.once(collection, request, lambda: self._searched(collection, search))
        if is_known:
            took = {"query_embedding_time": 0.0, "search_time": _ms(began), "cached": True}
            return answer.model_copy(update=took)
        return answer

    async def _searched(self, collection: Kept, search: Search) -> SearchAnswer:
        began = time.perf_counter()
        hybrid = _is_hybrid(collection, search)
        depth = min(max(DEPTH, 2 * search.top_k), _DEPTH_MOST) if hybrid else search.top_k
        dense, results = await self._ranked(collection, search, hybrid, depth)
        # That some are gone since is rare: more are asked for only then. Who cannot be asked again has answered once.
        with suppress(Unavailable):
            while not hybrid and _has_more(dense, search, len(results), depth):
                depth = min(max(DEPTH, 4 * depth), _HITS_MOST)
                dense, results = await self._ranked(collection, search, hybrid, depth)
        return SearchAnswer(
            collection=collection.name,
            results=results,
            total_results=len(results),
            query_embedding_time=dense.embedding_ms,
            search_time=max(0.0, _ms(began) - dense.embedding_ms),
            backend=dense.backend,
            exact=dense.exact,
            hybrid=hybrid,
            degraded=dense.degraded,
            lag_seq=dense.lag_seq,
        )

    async def _ranked(
        self, collection: Kept, search: Search, hybrid: bool, depth: int
    ) -> tuple[_Dense, list[SearchResult]]:
        dense, lexical = await self._halves(collection, search, hybrid, depth)
        if dense.ranked is None and not hybrid:
            raise Unavailable("no vector engine can answer now, and the record is too large to compare all of it")
        ranked: Sequence[tuple[int, float]] = dense.ranked or ()
        if hybrid:
            ranked = fused([number for number, _ in ranked], [number for number, _ in lexical])
        return dense, await self._shown(collection, search, ranked)

    async def _halves(
        self, collection: Kept, search: Search, hybrid: bool, depth: int
    ) -> tuple[_Dense, Sequence[tuple[int, float]]]:
        if not hybrid:
            return await self._dense(collection, search, depth), ()
        assert search.query is not None
        try:
            async with asyncio.TaskGroup() as group:
                dense = group.create_task(self._dense(collection, search, depth))
                lexical = group.create_task(
                    self._vectors.lexical(
                        collection, search.query, top_k=depth, filter=search.filter, contains=search.contains
                    )
                )
        except* SutazaiError as errors:
            raise _first(errors) from None
        return dense.result(), lexical.result()

    async def _dense(self, collection: Kept, search: Search, depth: int) -> _Dense:
        if collection.seq == 0:
            return _Dense(ranked=(), backend=collection.backends[0], exact=True, degraded=False)
        vector = _vector(collection, search)
        try:
            found = await self._service.search(_query(collection, search, depth, vector))
        except NotFound as exc:
            raise Conflict(f"{collection.name!r} holds vectors of {collection.model!r}: {exc.message}") from None
        except Busy:
            if not _is_hybrid(collection, search):
                raise
            return _Dense(ranked=None)
        except Unavailable:
            return await self._compared(collection, search, depth, vector)
        return _Dense(
            ranked=[(hit.number, hit.score) for hit in found.hits],
            backend=found.backend,
            exact=found.exact,
            degraded=found.degraded,
            lag_seq=found.lag_seq,
            embedding_ms=found.embedding_ms,
        )

    async def _compared(
        self, collection: Kept, search: Search, depth: int, vector: "NDArray[np.float32] | None"
    ) -> _Dense:
        """In the record: the truth, though not from whom it was asked for."""
        began = time.perf_counter()
        if vector is None and search.query is not None:
            try:
                embedded = await self._service.embed([search.query], model=collection.model, kind="query")
            except Unavailable:
                return _Dense(ranked=None)
            vector = embedded.vectors[0]
        took_ms = _ms(began)
        assert vector is not None
        ranked = await self._vectors.scan(
            collection, vector, top_k=depth, filter=search.filter, contains=search.contains, most=SCAN_MOST
        )
        return _Dense(ranked=ranked, exact=ranked is not None, embedding_ms=took_ms if search.query else 0.0)

    async def _shown(self, collection: Kept, search: Search, ranked: Sequence[tuple[int, float]]) -> list[SearchResult]:
        if search.threshold is not None:
            ranked = [(number, score) for number, score in ranked if score >= search.threshold]
        shown: list[SearchResult] = []
        place = 0
        # What is gone since makes room for those that follow.
        while place < len(ranked) and len(shown) < search.top_k:
            taken = ranked[place : place + search.top_k - len(shown)]
            place += len(taken)
            those = await self._vectors.those(collection, [number for number, _ in taken])
            shown += [_result(those[n], score) for n, score in taken if n in those and _passes(those[n], search)]
        return shown


def _has_more(dense: _Dense, search: Search, shown: int, depth: int) -> bool:
    """Whether what is gone of the `depth` best has kept back others that follow them."""
    ranked = dense.ranked or ()
    if shown >= search.top_k or len(ranked) < depth or depth >= _HITS_MOST:
        return False
    return search.threshold is None or ranked[-1][1] >= search.threshold


def _is_hybrid(collection: Kept, search: Search) -> bool:
    """Where there are no texts there are no words, and the scores stay similarities."""
    wanted = search.hybrid if search.hybrid is not None else search.threshold is None
    return wanted and search.query is not None and collection.texts > 0


def _check(collection: Kept, search: Search) -> None:
    """Raises Invalid and Conflict."""
    if search.query is None and search.vector is None:
        raise Invalid("a search is for a query or for a vector", field="query")
    if search.hybrid and search.query is None:
        raise Invalid("without a query there are no words to search for", field="hybrid")
    if search.backend is not None and search.backend not in collection.backends:
        has = ", ".join(collection.backends)
        raise Conflict(f"{collection.name!r} is not in {search.backend!r}: it has {has}")
    if search.min_seq > collection.seq:
        raise Invalid(f"{collection.name!r} is at {collection.seq}, and not yet at {search.min_seq}", field="min_seq")
    if collection.model is None and search.vector is None and collection.seq > 0:
        raise Conflict(f"{collection.name!r} holds vectors of its owner's own: it is searched by a vector")
    _vector(collection, search)


def _vector(collection: Kept, search: Search) -> "NDArray[np.float32] | None":
    if search.vector is None:
        return None
    # Functions that search by text start without numpy.
    from shared.vectors.numbers import comparable

    return comparable(search.vector, collection, what="the vector")


def _query(collection: Kept, search: Search, depth: int, vector: "NDArray[np.float32] | None") -> Query:
    return Query(
        collection=collection,
        top_k=depth,
        text=search.query if vector is None else None,
        vector=vector,
        filter=search.filter,
        contains=search.contains,
        backend=search.backend,
        min_seq=search.min_seq,
    )


def _passes(one: Stored, search: Search) -> bool:
    """As it is now; an engine may have found it as it was."""
    if search.contains is not None and search.contains not in (one.text or ""):
        return False
    return search.filter is None or passes(search.filter, one.metadata, one.created_at.timestamp())


def _result(one: Stored, score: float) -> SearchResult:
    return SearchResult(id=one.id, score=score, text=one.text, metadata=dict(one.metadata))


def _first(errors: BaseExceptionGroup[SutazaiError]) -> SutazaiError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _ms(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
