"""Very many equal vectors in Qdrant: the right ones are answered, and few of them are in memory at once."""

import asyncio
import weakref
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from shared.config import Settings
from shared.ports.vector_engine import Metric, VectorEngine, Wanted
from shared.stores.qdrant import server
from shared.stores.qdrant.edge import QdrantEdge
from shared.stores.qdrant.nearest import Nearest
from shared.stores.qdrant.points import Row
from shared.vectors.filters import Eq, Range
from shared.vectors.ranking import best
from tests.contract.engines.playing import METRICS, filled, new_space, play, point, same_search, wanted
from tests.contract.test_qdrant_client_engine import InProcess

MANY = 6003
PAGE = 2000
SPARE = 4096


class Watched(QdrantEdge):
    """`fetched`: queries and limit of each search. `most`: so many vectors were here at once."""

    def __init__(self, home: Path) -> None:
        super().__init__(settings=Settings.read({"SUTAZAI_HOME": str(home)}))
        self.fetched: list[tuple[int, int]] = []
        self.most = 0
        self._seen: list[weakref.ref[Any]] = []

    async def _nearest(
        self, name: str, queries: Any, condition: Any, limit: int, *, exact: bool
    ) -> Sequence[Sequence[tuple[int, float]]]:
        self.fetched.append((len(queries), limit))
        return await super()._nearest(name, queries, condition, limit, exact=exact)

    async def _page(self, name: str, condition: Any, start: int, limit: int, *, vectors: bool) -> Sequence[Row]:
        rows = await super()._page(name, condition, start, limit, vectors=vectors)
        self._seen = [seen for seen in self._seen if seen() is not None]
        self._seen += [weakref.ref(row.vector) for row in rows if row.vector is not None]
        self.most = max(self.most, len(self._seen))
        return rows


@pytest.mark.parametrize("metric", METRICS)
def test_of_more_equals_than_are_fetched_the_lowest_numbers_are_found(tmp_path: Path, metric: Metric) -> None:
    points = [point(n, 0, 1, metadata={"odd": n % 2 == 1}) for n in range(1, MANY)] + [point(9000, 1, 0)]

    async def scenario(engine: VectorEngine) -> None:
        assert isinstance(engine, Watched)
        space = new_space(metric, 2)
        oracle = await filled(engine, space, points)
        queries = [(1, 0), (0, 1), (1, 1)] * 20
        found = await same_search(engine, oracle, space, wanted(*queries, top_k=3))
        assert found[0] == [9000, 1, 2]
        assert max(queries * limit for queries, limit in engine.fetched) <= 2 * SPARE
        assert max(limit for _, limit in engine.fetched) == 3 + SPARE
        assert engine.most <= 2 * PAGE
        await same_search(engine, oracle, space, wanted((0, 1), top_k=2500))
        for asked in (Eq("odd", False), Range("odd", gt=2**60)):
            await same_search(engine, oracle, space, wanted((0, 1), (1, 0), top_k=4, filter=asked))

    play(lambda: Watched(tmp_path), scenario)


def test_only_queries_whose_last_hit_has_equals_are_asked_again(tmp_path: Path) -> None:
    points = [point(n, 1, 0) for n in range(1, MANY)] + [point(n, 0, n) for n in range(7000, 7050)]

    async def scenario(engine: VectorEngine) -> None:
        assert isinstance(engine, Watched)
        space = new_space("dot", 2)
        oracle = await filled(engine, space, points)
        await same_search(engine, oracle, space, wanted((0, 1), (1, 0), (0, 2)))
        assert [queries for queries, _ in engine.fetched] == [3, 1, 1, 1]

    play(lambda: Watched(tmp_path), scenario)


def test_looking_into_texts_holds_few_vectors_at_once(tmp_path: Path) -> None:
    points = [point(n, n % 7, 1, text="some text") for n in range(1, MANY)]

    async def scenario(engine: VectorEngine) -> None:
        assert isinstance(engine, Watched)
        space = new_space("dot", 2)
        oracle = await filled(engine, space, points)
        await same_search(engine, oracle, space, wanted((1, 0), (-1, 0), top_k=30, contains="text"))
        assert 0 < engine.most <= 2 * PAGE

    play(lambda: Watched(tmp_path), scenario)


@pytest.mark.parametrize("dimension", [33, 384])
def test_equal_vectors_score_alike_wherever_they_lie(tmp_path: Path, dimension: int) -> None:
    generator = np.random.default_rng(dimension)
    vector = generator.standard_normal(dimension).astype(np.float32)
    queries = generator.standard_normal((20, dimension)).astype(np.float32)

    async def scenario(engine: VectorEngine) -> None:
        space = new_space("dot", dimension)
        await filled(engine, space, [point(n, *vector.tolist(), text="x") for n in range(1, 104)])
        found = await engine.search(space, Wanted(queries=queries, top_k=5, contains="x"))
        assert [[hit.number for hit in hits] for hits in found.of] == [[1, 2, 3, 4, 5]] * 20

    play(lambda: Watched(tmp_path), scenario)


@pytest.mark.parametrize("metric", METRICS)
def test_the_best_of_pages_are_the_best_of_all(metric: Metric) -> None:
    generator = np.random.default_rng(4)
    for top_k in (1, 2, 7, 50, 400):
        vectors = generator.integers(-2, 3, (300, 3)).astype(np.float32)
        queries = generator.integers(-2, 3, (4, 3)).astype(np.float32)
        numbers = np.sort(generator.choice(10_000, 300, replace=False))
        nearest = Nearest(metric, queries, top_k)
        ends = [0, *sorted(generator.integers(0, 300, 5).tolist()), 300]
        for start, end in pairwise(ends):
            nearest.see(numbers[start:end], vectors[start:end])
        assert nearest.hits == [best(metric, numbers.tolist(), vectors, query, top_k) for query in queries]


@pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning")
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning")
def test_where_the_graph_is_asked_equals_are_fetched_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_COMPARED", 20)
    limits: list[int] = []

    class Limited(InProcess):
        async def _nearest(
            self, name: str, queries: Any, condition: Any, limit: int, *, exact: bool
        ) -> Sequence[Sequence[tuple[int, float]]]:
            limits.append(limit)
            return [[(n, 1.0) for n in range(min(limit, 20_000))] for _ in queries]

        async def _page(self, name: str, condition: Any, start: int, limit: int, *, vectors: bool) -> Sequence[Row]:
            raise AssertionError("all of them are compared")

    async def main() -> None:
        async with Limited(AsyncQdrantClient(location=":memory:")) as engine:
            space = new_space()
            await filled(engine, space, [point(n) for n in range(1, 40)])
            found = await engine.search(space, wanted(top_k=5))
            assert (found.exact, len(found.of[0]), max(limits)) == (False, 5, 5 + SPARE)

    asyncio.run(main())
