"""The vector service in this process: its inside over engines of the test's own, or all of it behind its port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID

import numpy as np

from shared.background import Background
from shared.catalog import load
from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.signals import Signals
from shared.ports.vector_engine import Backend, Metric, VectorEngine
from shared.ports.vector_service import VectorService
from shared.ports.vectors import Collections, Kept, NewVector, Truth, Vectors, Written
from shared.serve import App, server_of
from shared.stores.vector_service import HttpVectorService
from shared.vectors.embedding import Embedding
from shared.vectors.serving.desk import Desk
from shared.vectors.serving.engines import Engines
from shared.vectors.serving.protocol import Answered, Searches
from shared.wiring import Ports
from tests.people import place

PATIENCE_S = 120
DIMENSION = 3


class Fakes(Engines):
    """Engines that are there already; the others cannot be opened."""

    def __init__(self, *engines: VectorEngine, shared: Sequence[Backend] = ()) -> None:
        self._here = {engine.backend: engine for engine in engines}
        self._shared = shared

    def is_shared(self, backend: Backend) -> bool:
        return backend in self._shared

    async def open(self, backend: Backend) -> VectorEngine:
        if backend not in self._here:
            raise Unavailable(f"{backend} is not installed here")
        return self._here[backend]

    async def leftovers(self, backend: Backend) -> bool:
        return backend in self._here and bool(await self._here[backend].spaces())


@dataclass(frozen=True)
class Record:
    """Ada's collections."""

    settings: Settings
    ada: UUID
    collections: Collections
    vectors: Vectors
    truth: Truth
    signals: Signals
    embedding: Embedding

    async def create(
        self,
        *backends: Backend,
        name: str = "papers",
        model: str | None = None,
        dimension: int = DIMENSION,
        metric: Metric = "l2",
    ) -> Kept:
        await self.collections.create(
            self.ada, name, dimension=dimension, metric=metric, model=model, backends=backends or ("faiss",)
        )
        return await self.kept(name)

    async def upsert(self, **values: float) -> Written:
        return await self.vectors.upsert(
            self.ada, "papers", [new(name, value) for name, value in values.items()], model=None
        )

    async def kept(self, name: str = "papers") -> Kept:
        return await self.collections.find(self.ada, name)

    @asynccontextmanager
    async def desk(self, engines: Engines) -> AsyncIterator[Desk]:
        desk = Desk(engines=engines, truth=self.truth, signals=self.signals, embedding=self.embedding)
        running = asyncio.create_task(desk.run())
        try:
            await desk.settled()
            yield desk
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    @asynccontextmanager
    async def served(self, *, overrides: dict[type, object] | None = None) -> AsyncIterator[HttpVectorService]:
        """Behind its port, and asked as everybody asks it."""
        async with behind_its_port(self.settings, overrides or {}) as settings, Ports(settings) as ports:
            yield cast(HttpVectorService, await ports.open(VectorService))


@asynccontextmanager
async def behind_its_port(settings: Settings, overrides: dict[type, object]) -> AsyncIterator[Settings]:
    """Settings that say where it is; it is ready."""
    app = App(
        [], settings=settings, overrides=overrides, beside=[Background([load("functions.vectors.serve_vectors")])]
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        server = server_of(app, host=host, port=port, drain_s=5)
        server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while app._door.behind is None:
                assert not serving.done()
                await asyncio.sleep(0.01)
            yield replace(settings, vectors_url=f"http://{host}:{port}")
        finally:
            server.should_exit = True
            await serving


def new(id: str, value: float) -> NewVector:
    return NewVector(id=id, vector=np.full(DIMENSION, value, np.float32))


def searches(collection: Kept, value: float = 0.0, **more: object) -> Searches:
    vectors = np.full((1, collection.dimension), value, np.float32)
    return Searches(**{"collection": collection, "top_k": 10, "vectors": vectors, **more})  # type: ignore[arg-type]


def numbers(answered: Answered) -> list[int]:
    """Of the first query, the best first."""
    return [hit.number for hit in answered.hits.of[0]]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Bounded by whoever plays."""
    while not await holds():
        await asyncio.sleep(0.01)


def play(settings: Settings, scenario: Callable[[Record], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), place(settings) as people, Ports(settings) as ports:
            ada = await people.register("ada")
            record = Record(
                settings=settings,
                ada=ada.id,
                collections=await ports.open(Collections),
                vectors=await ports.open(Vectors),
                truth=await ports.open(Truth),
                signals=await ports.open(Signals),
                embedding=await ports.open(Embedding),
            )
            await scenario(record)

    asyncio.run(main())
