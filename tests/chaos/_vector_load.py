"""Writers who know what was acknowledged, and searchers who know whether they were answered, and when."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from shared.errors import SutazaiError, Unavailable
from shared.ports.vector_answers import SearchAnswer
from shared.ports.vector_engine import Backend
from shared.ports.vectors import Kept, NewVector
from shared.vectors.searching import Search, Searcher
from tests.chaos._vector_place import Place

T = TypeVar("T")

DIMENSION = 32
_TOP = 5


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A collection, and how it is written to: `rows` of `ids` at once, so often."""

    name: str
    backends: tuple[Backend, ...]
    ids: int
    rows: int
    every_s: float
    is_searched: bool


# What FAISS alone has is written to so much that its base is built anew all the time.
KINDS = (
    Kind(name="all", backends=("faiss", "qdrant", "chroma"), ids=3000, rows=40, every_s=0.4, is_searched=True),
    Kind(name="pair", backends=("chroma", "qdrant"), ids=1000, rows=20, every_s=0.4, is_searched=True),
    Kind(name="memory", backends=("faiss",), ids=12_000, rows=300, every_s=0.6, is_searched=False),
)


class Writer:
    """`held`: by id what was acknowledged last, None where that was its deletion.

    Whatever fails is tried until it is acknowledged, so that nobody has to guess what a lost answer was.
    """

    def __init__(self, place: Place, kind: Kind, seed: int) -> None:
        self.held: dict[str, NDArray[np.float32] | None] = {}
        self.acknowledged = 0
        self.kind = kind
        self._place = place
        self._dice = random.Random(seed)
        self._numbers = np.random.default_rng(seed)

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self.write()
            await asyncio.sleep(self.kind.every_s)

    async def write(self) -> None:
        ids = [f"v{one}" for one in self._dice.sample(range(self.kind.ids), self.kind.rows)]
        name, ada = self.kind.name, self._place.ada
        if self.held and self._dice.random() < 0.25:
            await _until_acknowledged(lambda: self._place.vectors.delete(ada, name, ids))
            self.held |= dict.fromkeys(filter(self.held.__contains__, ids))
        else:
            vectors = self._numbers.standard_normal((len(ids), DIMENSION), np.float32)
            new = [NewVector(id=one, vector=vector) for one, vector in zip(ids, vectors, strict=True)]
            await _until_acknowledged(lambda: self._place.vectors.upsert(ada, name, new, model=None))
            self.held |= dict(zip(ids, vectors, strict=True))
        self.acknowledged += len(ids)


@dataclass(frozen=True, slots=True)
class Asked:
    """`backend`: None where there was no answer."""

    began: float
    ended: float
    wanted: Backend
    backend: Backend | Literal["postgres"] | None
    degraded: bool


@dataclass
class Searchers:
    """What callers of the API see, but for the way there: each search names an engine, as if it were routed to it."""

    place: Place
    seed: int
    asked: list[Asked] = field(default_factory=list)
    # An answer of another engine than was wanted that does not say so, or changes that are unknown and not told.
    silent: int = 0

    async def run(self, stopping: asyncio.Event, number: int, *, every_s: float) -> None:
        dice, numbers = random.Random(self.seed + number), np.random.default_rng(self.seed + number)
        searcher = Searcher(
            self.place.ada, collections=self.place.collections, vectors=self.place.vectors, service=self.place.port
        )
        searched = [kind for kind in KINDS if kind.is_searched]
        while not stopping.is_set():
            kind = dice.choice(searched)
            vector = numbers.standard_normal(DIMENSION, np.float32).tolist()
            await self._one(searcher, kind, Search(vector=vector, backend=dice.choice(kind.backends), top_k=_TOP))
            await asyncio.sleep(every_s)

    async def _one(self, searcher: Searcher, kind: Kind, search: Search) -> None:
        began, answer = time.monotonic(), None
        assert search.backend is not None
        with suppress(SutazaiError):
            answer = await searcher.found(kind.name, search, request="", answers=Anew())
        found = answer.backend if answer else None
        is_degraded = answer is not None and answer.degraded
        self.silent += answer is not None and answer.backend != search.backend and not answer.degraded
        self.asked.append(Asked(began, time.monotonic(), search.backend, found, is_degraded))


class Anew:
    """Nothing is remembered: it is engines that are asked here."""

    async def once(
        self, collection: Kept, request: str, search: Callable[[], Awaitable[SearchAnswer]]
    ) -> tuple[SearchAnswer, bool]:
        return await search(), False


async def _until_acknowledged(write: Callable[[], Awaitable[T]]) -> T:
    while True:
        try:
            return await write()
        except Unavailable:
            await asyncio.sleep(0.05)
