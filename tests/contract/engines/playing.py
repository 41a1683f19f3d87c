"""How an engine is asked, and held to the oracle.

Vectors are small whole numbers or halves, whose scores floats hold exactly: what is equal is equal in every engine,
whatever the order it adds in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.ports.vector_engine import Metadata, Metric, Point, Space, VectorEngine, Wanted
from shared.vectors.filters import Filter
from tests.vectors.oracle import Oracle

METRICS: tuple[Metric, ...] = ("cosine", "dot", "l2")
PATIENCE_S = 180


class Engines(Protocol):
    """`opened` again is the engine after a restart: it holds what it held. `away` is one that cannot be reached."""

    def opened(self) -> AbstractAsyncContextManager[VectorEngine]: ...

    def away(self) -> AbstractAsyncContextManager[VectorEngine]: ...


Scenario = Callable[[VectorEngine], Awaitable[None]]


def play(opened: Callable[[], AbstractAsyncContextManager[VectorEngine]], *scenarios: Scenario) -> None:
    """Each on an engine that has been opened anew."""

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S):
            for scenario in scenarios:
                async with opened() as engine:
                    await scenario(engine)

    asyncio.run(main())


def new_space(metric: Metric = "dot", dimension: int = 4) -> Space:
    return Space(collection_id=uuid4(), epoch=0, dimension=dimension, metric=metric)


def vector(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def point(
    number: int,
    *values: float,
    seq: int | None = None,
    metadata: Metadata | None = None,
    text: str | None = None,
    created_at: float = 0.0,
) -> Point:
    return Point(
        number=number,
        vector_id=f"id-{number}",
        seq=number if seq is None else seq,
        vector=vector(*values) if values else vector(number, 1, 0, 0),
        metadata=metadata or {},
        text=text,
        created_at=created_at,
    )


def gone(number: int, seq: int) -> Point:
    return Point(number=number, vector_id=f"id-{number}", seq=seq, vector=None)


def wanted(
    *queries: Sequence[float], top_k: int = 10, filter: Filter | None = None, contains: str | None = None
) -> Wanted:
    asked = queries or ((1.0, 0.0, 0.0, 0.0),)
    return Wanted(queries=np.array(asked, np.float32), top_k=top_k, filter=filter, contains=contains)


async def filled(engine: VectorEngine, space: Space, points: Sequence[Point]) -> Oracle:
    """The space in this engine, and an oracle that was told the same."""
    oracle = Oracle(engine.backend)
    for one in (oracle, engine):
        await one.ensure(space)
        await one.apply(space, points, upto_seq=max((point.seq for point in points), default=0))
    return oracle


async def same_search(engine: VectorEngine, oracle: Oracle, space: Space, asked: Wanted) -> list[list[int]]:
    """The numbers that both answer with. Scores may differ in what a float rounds."""
    answer, right = await engine.search(space, asked), await oracle.search(space, asked)
    numbers = [[hit.number for hit in hits] for hits in answer.of]
    assert numbers == [[hit.number for hit in hits] for hits in right.of]
    scores = [[hit.score for hit in hits] for hits in answer.of]
    assert scores == [pytest.approx([hit.score for hit in hits], rel=1e-5, abs=1e-6) for hits in right.of]
    assert answer.applied_seq == right.applied_seq
    return numbers


async def same_state(engine: VectorEngine, oracle: Oracle, space: Space) -> None:
    assert await engine.applied_seq(space) == await oracle.applied_seq(space)
    assert await engine.count(space) == await oracle.count(space)
    assert list(await engine.digest(space)) == list(await oracle.digest(space))
    assert list(map(seen, await scrolled(engine, space))) == list(map(seen, await scrolled(oracle, space)))


async def scrolled(engine: VectorEngine, space: Space, limit: int = 1000) -> list[Point]:
    found: list[Point] = []
    while page := await engine.scroll(space, after=found[-1].number if found else -1, limit=limit):
        found += page
    return found


def seen(point: Point) -> tuple[object, ...]:
    """All of a point that a scroll tells; lists and tuples are one to metadata."""
    assert point.vector is not None
    metadata = {key: list(held) if isinstance(held, list | tuple) else held for key, held in point.metadata.items()}
    # Written out, True is not 1, nor 1 the same as 1.0.
    return (
        point.number,
        point.vector_id,
        point.seq,
        point.vector.tolist(),
        repr(sorted(metadata.items())),
        point.created_at,
    )


OF_A_SPACE = ("apply", "applied_seq", "search", "scroll", "count", "digest")


async def ask(engine: VectorEngine, asked: str, space: Space) -> None:
    calls: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "ensure": lambda: engine.ensure(space),
        "drop": lambda: engine.drop(space),
        "spaces": engine.spaces,
        "apply": lambda: engine.apply(space, [point(1)], upto_seq=1),
        "applied_seq": lambda: engine.applied_seq(space),
        "search": lambda: engine.search(space, wanted()),
        "scroll": lambda: engine.scroll(space),
        "count": lambda: engine.count(space),
        "digest": lambda: engine.digest(space),
    }
    await calls[asked]()
