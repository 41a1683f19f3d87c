"""The vector service as it is within its own process: what the port asks for, out of stations and embedders."""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.errors import Invalid, Unavailable
from shared.ports.embedders import Kind
from shared.ports.signals import Signals
from shared.ports.vector_engine import Backend, Wanted
from shared.ports.vector_service import Embedded, EngineState, Model
from shared.ports.vectors import Truth
from shared.vectors.embedding import Embedding
from shared.vectors.serving.engines import Engines
from shared.vectors.serving.protocol import Answered, Searches
from shared.vectors.serving.router import Ask, Router
from shared.vectors.serving.station import Station

if TYPE_CHECKING:
    from shared.ports.vector_engine import Matrix

BACKENDS: tuple[Backend, ...] = ("faiss", "qdrant", "chroma")
_STATE_S = 1.0
# Within the 30 s that platforms leave between SIGTERM and SIGKILL.
_SAVE_S = 15.0
# What is not whole by then is answered by others, or by the record.
_SETTLE_S = 60.0


class Desk:
    def __init__(self, *, engines: Engines, truth: Truth, signals: Signals, embedding: Embedding) -> None:
        self.stations: Mapping[Backend, Station] = {
            backend: Station(backend, engines=engines, truth=truth, signals=signals) for backend in BACKENDS
        }
        self._router = Router(self.stations)
        self._embedding = embedding
        self._states: Sequence[EngineState] = ()
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Until it is cancelled; then what lives in memory alone is saved."""
        try:
            async with asyncio.TaskGroup() as group:
                for station in self.stations.values():
                    group.create_task(station.run())
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SAVE_S):
                    await asyncio.gather(*(station.save() for station in self.stations.values()))

    async def settled(self) -> None:
        """Once every engine is where the record was at the start, but for those that cannot be, or take long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                for station in self.stations.values():
                    await station.settled.wait()
        # But for the record nobody could say what is to be answered from.
        for station in self.stations.values():
            await station.is_known.wait()

    async def search(self, asked: Searches) -> Answered:
        """Raises Invalid, NotFound for a model that is not here, Unavailable where no engine can answer."""
        began = time.perf_counter()
        queries = asked.vectors if asked.texts is None else await self._embedded(asked, asked.texts)
        embedded = time.perf_counter()
        routed = await self._router.search(
            Ask(
                collection=asked.collection,
                wanted=Wanted(queries=queries, top_k=asked.top_k, filter=asked.filter, contains=asked.contains),
                backend=asked.backend,
                min_seq=asked.min_seq,
            )
        )
        return Answered(
            hits=routed.hits,
            backend=routed.backend,
            degraded=routed.degraded,
            lag_seq=max(0, asked.collection.seq - routed.hits.applied_seq),
            embedding_ms=(embedded - began) * 1000,
            search_ms=(time.perf_counter() - embedded) * 1000,
            vectors=None if asked.texts is None else queries,
        )

    async def embed(self, texts: Sequence[str], *, model: str | None, kind: Kind) -> Embedded:
        return await self._embedding.embed(texts, model=model, kind=kind)

    def models(self) -> Sequence[Model]:
        return self._embedding.models()

    async def engines(self) -> Sequence[EngineState]:
        async with self._looking:
            if time.monotonic() > self._looked_at + _STATE_S:
                self._states = await asyncio.gather(*(station.state() for station in self.stations.values()))
                self._looked_at = time.monotonic()
        return self._states

    async def sweep(self) -> Sequence[EngineState]:
        """Now, and not in a few minutes. An engine that is away is as it was."""
        await asyncio.gather(*map(_swept, self.stations.values()))
        self._looked_at = float("-inf")
        return await self.engines()

    async def _embedded(self, asked: Searches, texts: Sequence[str]) -> "Matrix":
        collection = asked.collection
        if collection.model is None:
            raise Invalid("the collection's vectors are of no model here: it is searched by vectors alone")
        embedded = await self._embedding.embed(texts, model=collection.model, kind="query")
        if embedded.model.dimension != collection.dimension:
            raise Invalid(f"{collection.model!r} gives {embedded.model.dimension} dimensions")
        return np.ascontiguousarray(embedded.vectors, np.float32)


async def _swept(station: Station) -> None:
    try:
        await station.sweep()
    except (Unavailable, TimeoutError):
        return
