"""The inside of the vector service over a real record, whose engines can be taken away, emptied and falsified."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast
from uuid import UUID

from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.embedders import Kind
from shared.ports.objects import Objects
from shared.ports.signals import Signals
from shared.ports.vector_answers import VectorAnswers
from shared.ports.vector_engine import (
    Backend,
    EngineHealth,
    Hits,
    Point,
    SnapshottingEngine,
    Space,
    VectorEngine,
    Wanted,
)
from shared.ports.vector_service import Embedded, EngineState, Found, Model, Query
from shared.ports.vectors import Collections, Kept, Truth, Vectors
from shared.stores.postgres.database import Database
from shared.vectors.applying import space_of
from shared.vectors.embedding import Embedding
from shared.vectors.serving.desk import Desk
from shared.vectors.serving.engines import Engines
from shared.vectors.serving.protocol import Searches
from shared.wiring import Ports
from tests.people import place

BACKENDS: tuple[Backend, ...] = ("faiss", "qdrant", "chroma")


class Away:
    """An engine that cannot be reached while its name is among those that are `away`."""

    def __init__(self, engine: VectorEngine, away: set[Backend]) -> None:
        self.engine = engine
        self.backend = engine.backend
        self._away = away

    def _reached(self) -> VectorEngine:
        if self.backend in self._away:
            raise Unavailable(f"{self.backend} is away")
        return self.engine

    async def ensure(self, space: Space) -> None:
        await self._reached().ensure(space)

    async def drop(self, space: Space) -> None:
        await self._reached().drop(space)

    async def spaces(self) -> Sequence[str]:
        return await self._reached().spaces()

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        await self._reached().apply(space, points, upto_seq=upto_seq)

    async def applied_seq(self, space: Space) -> int:
        return await self._reached().applied_seq(space)

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        return await self._reached().search(space, wanted)

    async def scroll(self, space: Space, *, after: int = -1, limit: int = 1000) -> Sequence[Point]:
        return await self._reached().scroll(space, after=after, limit=limit)

    async def count(self, space: Space) -> int:
        return await self._reached().count(space)

    async def digest(self, space: Space) -> Sequence[int]:
        return await self._reached().digest(space)

    async def health(self) -> EngineHealth:
        return await self._reached().health()


class SavedAway(Away):
    async def snapshot(self, space: Space) -> int:
        return await cast(SnapshottingEngine, self._reached()).snapshot(space)

    async def restore(self, space: Space) -> int:
        return await cast(SnapshottingEngine, self._reached()).restore(space)


class Breakable(Engines):
    def __init__(self, settings: Settings, objects: Objects, away: set[Backend]) -> None:
        super().__init__(settings=settings, objects=objects)
        self.opened: dict[Backend, Away] = {}
        self._away = away

    async def open(self, backend: Backend) -> VectorEngine:
        if backend not in self.opened:
            engine = await super().open(backend)
            kind = SavedAway if isinstance(engine, SnapshottingEngine) else Away
            self.opened.setdefault(backend, kind(engine, self._away))
        return self.opened[backend]


class Inside:
    """The port, without the way to another process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def search(self, query: Query) -> Found:
        assert query.vector is not None
        searches = Searches(
            collection=query.collection,
            top_k=query.top_k,
            vectors=query.vector[None],
            filter=query.filter,
            contains=query.contains,
            backend=query.backend,
            min_seq=query.min_seq,
        )
        answered = await self._desk.search(searches)
        return Found(
            hits=answered.hits.of[0],
            backend=answered.backend,
            exact=answered.hits.exact,
            degraded=answered.degraded,
            applied_seq=answered.hits.applied_seq,
            lag_seq=answered.lag_seq,
            embedding_ms=answered.embedding_ms,
            search_ms=answered.search_ms,
            vector=query.vector,
        )

    async def embed(self, texts: Sequence[str], *, model: str | None = None, kind: Kind = "passage") -> Embedded:
        return await self._desk.embed(texts, model=model, kind=kind)

    async def models(self) -> Sequence[Model]:
        return ()

    async def engines(self) -> Sequence[EngineState]:
        return await self._desk.engines()


class Layer:
    """`ada` owns what is written here. `begin` and `end` are the service's start and its orderly end."""

    def __init__(self, settings: Settings, ada: UUID, ports: Ports) -> None:
        self.settings = settings
        self.ada = ada
        self.away: set[Backend] = set()
        self._ports = ports
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        self.collections = await self._ports.open(Collections)
        self.vectors = await self._ports.open(Vectors)
        self.truth = await self._ports.open(Truth)
        self.database = await self._ports.open(Database)
        self.answers = await self._ports.open(VectorAnswers)
        self._signals = await self._ports.open(Signals)
        self._objects = await self._ports.open(Objects)
        await self.begin()

    async def begin(self) -> None:
        self.engines = await self._stack.enter_async_context(Breakable(self.settings, self._objects, self.away))
        # Nothing here is searched by texts.
        embedding = cast(Embedding, None)
        self.desk = Desk(engines=self.engines, truth=self.truth, signals=self._signals, embedding=embedding)
        self.service = Inside(self.desk)
        self._running = asyncio.create_task(self.desk.run())

    async def end(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()

    async def forget(self) -> None:
        """All that the engines have kept on disks, between an end and a beginning."""
        for folder in (self.settings.vectors_dir, self.settings.objects_dir):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def wipe(self, backend: Backend) -> None:
        """It loses all of it, and nobody is told."""
        if backend in self.engines.opened:
            engine = self.engines.opened[backend].engine
            for name in await engine.spaces():
                await engine.drop(Space.named(name))

    def held(self, backend: Backend, collection: Kept) -> tuple[VectorEngine, Space]:
        """The engine itself, and the space in which it has the collection."""
        places = self.desk.stations[backend]._places
        assert places is not None
        return self.engines.opened[backend].engine, space_of(collection, places.known[collection.id].epoch)


@asynccontextmanager
async def layer(settings: Settings, *, name: str = "ada") -> AsyncIterator[Layer]:
    async with place(settings) as people, Ports(settings) as ports:
        found = Layer(settings, (await people.register(name)).id, ports)
        await found.open()
        try:
            yield found
        finally:
            await found.end()
