"""The vector service without engines of its own: exact, and as far as the record whenever it is asked."""

import asyncio
from collections.abc import Sequence

from shared.errors import Busy, NotFound, Unavailable
from shared.ports.embedders import Kind
from shared.ports.vector_engine import Wanted
from shared.ports.vector_service import Embedded, EngineState, Found, Model, Query
from shared.ports.vectors import Truth
from shared.stores.embedders.hashed import Hashed
from shared.vectors.applying import space_of
from tests.vectors.oracle import Oracle

HASH = Model(name="hash", id=Hashed.model_id, dimension=Hashed.dimension)


class FakeService:
    """`is_down`: it cannot be reached; `has_no_engine`: it embeds, and no more; `stays_behind`: nothing new is applied;
    `fails_over`: another engine than the one that was wanted answers; `is_busy`: it has no time for searches; `turns`:
    each of them takes one."""

    def __init__(self, truth: Truth) -> None:
        self.is_down = self.has_no_engine = self.stays_behind = self.fails_over = self.is_busy = False
        self.asked: list[Query] = []
        self.turns: asyncio.Semaphore | None = None
        self._truth = truth
        self._oracle = Oracle()
        self._embedder = Hashed()

    async def search(self, query: Query) -> Found:
        self._reached()
        self.asked.append(query)
        if self.turns is not None:
            await self.turns.acquire()
        if self.is_busy:
            raise Busy("too many queries are waiting", retry_after=2)
        if self.has_no_engine:
            raise Unavailable("no engine can answer")
        vector = query.vector
        if vector is None:
            assert query.text is not None
            vector = (await self.embed([query.text], model=query.collection.model, kind="query")).vectors[0]
        space = space_of(query.collection, 0)
        await self._oracle.ensure(space)
        if not self.stays_behind:
            points = await self._truth.since(space.collection_id, 0, limit=100_000)
            await self._oracle.apply(space, points, upto_seq=query.collection.seq)
        wanted = Wanted(queries=vector[None], top_k=query.top_k, filter=query.filter, contains=query.contains)
        hits = await self._oracle.search(space, wanted)
        return Found(
            hits=hits.of[0],
            backend=query.backend or query.collection.backends[0],
            exact=True,
            degraded=self.fails_over,
            applied_seq=hits.applied_seq,
            lag_seq=query.collection.seq - hits.applied_seq,
            embedding_ms=1.5 if query.vector is None else 0.0,
            search_ms=0.5,
            vector=vector,
        )

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        self._reached()
        if model not in (None, HASH.name, HASH.id):
            raise NotFound(f"no embedder {model!r}")
        return Embedded(model=HASH, vectors=await self._embedder.embed(texts, kind=kind))

    async def models(self) -> Sequence[Model]:
        self._reached()
        return [HASH]

    async def engines(self) -> Sequence[EngineState]:
        self._reached()
        return [
            EngineState(
                backend="faiss",
                status="ok",
                detail="",
                spaces=len(await self._oracle.spaces()),
                lag_seq=0,
                drifted=1,
                repaired=2,
                swept_at=60.0,
            )
        ]

    def _reached(self) -> None:
        if self.is_down:
            raise Unavailable("the vector service does not answer")
