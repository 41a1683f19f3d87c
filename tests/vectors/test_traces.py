"""Random traces: whatever is done to an engine and to the oracle, in whatever order, both answer the same.

SUTAZAI_TRACE_OPERATIONS says how many for each engine, SUTAZAI_TRACE_SEED repeats one that has failed.
"""

import asyncio
import os
import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from shared.ports.vector_engine import Metadata, Point, Scalar, Space, VectorEngine, Wanted
from shared.vectors.filters import CREATED_AT, And, Eq, Exists, Filter, In, Not, Or, Range
from tests.contract.engines.playing import METRICS, Engines, new_space, same_search, same_state
from tests.contract.test_chroma_local_engine import Locals
from tests.contract.test_chroma_server_engine import Servers, running_chroma
from tests.contract.test_qdrant_client_engine import Clients
from tests.contract.test_qdrant_edge_engine import Edges
from tests.vectors.oracle import Oracle

# What stands in for a server compares everything, and says each time that it has no indexes.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]

OPERATIONS = int(os.environ.get("SUTAZAI_TRACE_OPERATIONS", "300"))
SEED = os.environ.get("SUTAZAI_TRACE_SEED", "")
NUMBERS = 60
DIMENSION = 3
KEYS = ("a", "b", "tags", "ключ", "")
VALUES: tuple[Scalar, ...] = (0, 1, 2, 1.0, 0.5, -3, True, False, "1", "true", "x", "", 2**53, 2**53 + 1)
WORDS = ("vector", "Vector", "50%", "a_b", "猫", "end.")


class Trace:
    """What is done next, and what has been done: an engine is told the past again, and in another order."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._seqs: dict[str, int] = {}
        self._past: dict[str, list[Point]] = {}
        self._late: dict[str, list[Point]] = {}

    def operation(self) -> str:
        return self._chance.choices(("apply", "search", "compare", "restart", "drop"), (45, 42, 8, 3, 1))[0]

    def space(self, spaces: list[Space]) -> Space:
        return self._chance.choice(spaces)

    def batch(self, space: Space) -> tuple[list[Point], int]:
        """New points, some of them held back for later, with some of the past; in any order."""
        late, past = self._late.setdefault(space.name, []), self._past.setdefault(space.name, [])
        fresh = [self._point(space) for _ in range(self._chance.randint(0, 12))]
        held_back = [point for point in fresh if self._chance.random() < 0.2]
        told = [point for point in fresh if point not in held_back]
        while late and self._chance.random() < 0.5:
            told.append(late.pop(self._chance.randrange(len(late))))
        told += self._chance.sample(past, min(len(past), self._chance.randint(0, 4)))
        late += held_back
        past += fresh
        self._chance.shuffle(told)
        return told, self._chance.randint(0, self._seqs.get(space.name, 0))

    def search(self) -> Wanted:
        queries = [[self._chance.randint(-3, 3) for _ in range(DIMENSION)] for _ in range(self._chance.randint(1, 3))]
        return Wanted(
            queries=np.array(queries, np.float32),
            top_k=self._chance.choice((1, 2, 5, 10, 100)),
            filter=self._filter(3) if self._chance.random() < 0.7 else None,
            contains=self._chance.choice(WORDS)[: self._chance.randint(0, 5)] if self._chance.random() < 0.2 else None,
        )

    def _point(self, space: Space) -> Point:
        seq = self._seqs[space.name] = self._seqs.get(space.name, 0) + 1
        number = self._chance.randrange(NUMBERS) ** 2
        if self._chance.random() < 0.3:
            return Point(number=number, vector_id=f"id {number}", seq=seq, vector=None)
        return Point(
            number=number,
            vector_id=f"id {number}",
            seq=seq,
            vector=np.array([self._chance.randint(-3, 3) for _ in range(DIMENSION)], np.float32),
            metadata=self._metadata(),
            text=" ".join(self._chance.choices(WORDS, k=3)) if self._chance.random() < 0.8 else None,
            created_at=self._chance.choice((0.0, 0.5, 1_700_000_000.25)),
        )

    def _metadata(self) -> Metadata:
        keys = [key for key in KEYS if self._chance.random() < 0.5]
        return {
            key: self._chance.choices(VALUES, k=self._chance.choice((0, 1, 2, 3, 20)))
            if self._chance.random() < 0.3
            else self._chance.choice(VALUES)
            for key in keys
        }

    def _filter(self, depth: int) -> Filter:
        key = self._chance.choice((*KEYS, "none", CREATED_AT))
        kind = self._chance.choice(("eq", "in", "range", "exists", *(("and", "or", "not") * (depth > 0))))
        match kind:
            case "eq":
                return Eq(key, self._chance.choice(VALUES))
            case "in":
                return In(key, tuple(self._chance.choices(VALUES, k=self._chance.randint(0, 3))))
            case "range":
                names = self._chance.sample(("gt", "gte", "lt", "lte"), self._chance.randint(0, 2))
                return Range(key, **{name: self._chance.choice((-1, 0, 0.5, 1, 2, 2**53)) for name in names})
            case "exists":
                return Exists(key)
            case "not":
                return Not(self._filter(depth - 1))
        parts = tuple(self._filter(depth - 1) for _ in range(self._chance.randint(0, 3)))
        return And(parts) if kind == "and" else Or(parts)


class Told:
    """An engine and the oracle, told the same."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._oracle = Oracle()
        self._spaces = [new_space(metric, DIMENSION) for metric in METRICS]

    async def begin(self, engine: VectorEngine) -> None:
        for space in self._spaces:
            await self._made(engine, space)

    async def go_on(self, engine: VectorEngine, left: int) -> int:
        """Until a restart, or the end; returns how many are left."""
        for space in self._spaces:
            await same_state(engine, self._oracle, space)
        while left and (operation := self._trace.operation()) != "restart":
            await self._do(operation, engine, self._trace.space(self._spaces))
            left -= 1
        return left

    async def _do(self, operation: str, engine: VectorEngine, space: Space) -> None:
        if operation == "apply":
            points, upto_seq = self._trace.batch(space)
            for one in (engine, self._oracle):
                await one.apply(space, points, upto_seq=upto_seq)
        elif operation == "search":
            await same_search(engine, self._oracle, space, self._trace.search())
        elif operation == "compare":
            await same_state(engine, self._oracle, space)
        else:
            for one in (engine, self._oracle):
                await one.drop(space)
            await self._made(engine, space)

    async def _made(self, engine: VectorEngine, space: Space) -> None:
        for one in (engine, self._oracle):
            await one.ensure(space)


@contextmanager
def _engines(name: str, folder: Path) -> Iterator[Engines]:
    if name == "chroma server":
        with running_chroma(folder) as url:
            yield Servers(url)
    else:
        local: dict[str, Engines] = {
            "qdrant edge": Edges(folder),
            "qdrant client": Clients(),
            "chroma local": Locals(folder),
        }
        yield local[name]


@pytest.mark.parametrize("name", ["qdrant edge", "qdrant client", "chroma local", "chroma server"])
def test_an_engine_answers_as_the_oracle_does_whatever_is_done(name: str, tmp_path: Path) -> None:
    seed = int(SEED) if SEED else secrets.randbits(48)
    print(f"SUTAZAI_TRACE_SEED={seed}")
    told = Told(Trace(seed))

    async def main(engines: Engines) -> None:
        async with asyncio.timeout(60 + OPERATIONS):
            async with engines.opened() as engine:
                await told.begin(engine)
            left = OPERATIONS
            while left:
                async with engines.opened() as engine:
                    left = await told.go_on(engine, left)

    with _engines(name, tmp_path) as engines:
        asyncio.run(main(engines))
