"""An engine for tests, and vectors that lie in clusters as those of texts do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from shared.config import Settings
from shared.ports.vector_engine import Metadata, Metric, Point, Space
from shared.stores.faiss.engine import FaissEngine
from shared.stores.faiss.planner import Sizes
from shared.stores.objects.folder import FolderObjects

Matrix = NDArray[np.float32]

PATIENCE_S = 300


@dataclass(frozen=True)
class Clustered:
    """`clusters` tells of each vector in which one it lies. All have length 1."""

    vectors: Matrix
    clusters: NDArray[np.int64]
    queries: Matrix

    @classmethod
    def of(cls, count: int, dimension: int, *, clusters: int = 100, queries: int = 50, seed: int = 1) -> "Clustered":
        generator = np.random.default_rng(seed)
        centres = generator.standard_normal((clusters, dimension), np.float32)
        places = generator.integers(clusters, size=count + queries)
        vectors = np.empty((count + queries, dimension), np.float32)
        for start in range(0, len(vectors), 10_000):
            some = centres[places[start : start + 10_000]]
            vectors[start : start + 10_000] = some + 0.7 * generator.standard_normal(some.shape, np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls(vectors[:count], places[:count], vectors[count:])


def points_of(
    vectors: Matrix, *, first: int = 0, metadata: Callable[[int], Metadata] = lambda _: {}, text: str | None = None
) -> list[Point]:
    return [
        Point(number=n, vector_id=f"v{n}", seq=n + 1, vector=vector, metadata=metadata(n), text=text)
        for n, vector in enumerate(vectors, first)
    ]


def new_space(dimension: int, metric: Metric = "cosine") -> Space:
    return Space(collection_id=uuid4(), epoch=0, dimension=dimension, metric=metric)


async def fill(engine: FaissEngine, space: Space, points: list[Point]) -> None:
    """All of them in the base."""
    await engine.ensure(space)
    for start in range(0, len(points), 5000):
        some = points[start : start + 5000]
        await engine.apply(space, some, upto_seq=some[-1].seq)
    await engine.settled(space)


@asynccontextmanager
async def opened(folder: Path, sizes: Sizes | None = None) -> AsyncIterator[FaissEngine]:
    async with FaissEngine(objects=FolderObjects(settings=Settings.read({"SUTAZAI_HOME": str(folder)}))) as engine:
        engine.sizes = sizes or engine.sizes
        yield engine


def play(folder: Path, scenario: Callable[[FaissEngine], Awaitable[None]], sizes: Sizes | None = None) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), opened(folder, sizes) as engine:
            await scenario(engine)

    asyncio.run(main())
