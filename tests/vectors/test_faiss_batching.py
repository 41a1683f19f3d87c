"""Searches that come together are run together, and each gets its own."""

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import Invalid
from shared.ports.vector_engine import Hits, Metadata, Point, Wanted
from shared.stores.faiss import rows as held_rows
from shared.stores.faiss import searching
from shared.stores.faiss import space as held_space
from shared.stores.faiss.columns import Columns
from shared.stores.faiss.engine import FaissEngine
from shared.stores.faiss.planner import Sizes
from shared.stores.faiss.view import View
from shared.vectors.filters import Eq, Filter, Range
from tests.vectors.faiss_data import Clustered, fill, new_space, play, points_of


def test_what_comes_at_once_is_one_call_for_all_that_ask_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Clustered.of(500, 16, queries=32)
    together: list[int] = []

    def counted(view: View, wanted: Wanted, sizes: Sizes) -> Hits:
        together.append(len(wanted.queries))
        return searching.search(view, wanted, sizes)

    monkeypatch.setattr(held_space, "search", counted)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(16)
        await fill(engine, space, points_of(data.vectors))
        asked = [Wanted(queries=query[None], top_k=1 + n % 7) for n, query in enumerate(data.queries)]
        at_once = await asyncio.gather(*(engine.search(space, wanted) for wanted in asked))
        assert together == [32]
        one_by_one = [await engine.search(space, wanted) for wanted in asked]
        assert at_once == one_by_one
        assert [len(hits.of[0]) for hits in at_once] == [1 + n % 7 for n in range(32)]

    play(tmp_path, scenario)


def test_filters_that_python_holds_for_equal_are_not_mixed(tmp_path: Path) -> None:
    async def scenario(engine: FaissEngine) -> None:
        space = new_space(2, "dot")
        held: list[bool | int] = [1, True, 1, True]
        await engine.ensure(space)
        points = [
            Point(number=n, vector_id=f"v{n}", seq=n, vector=np.ones(2, np.float32), metadata={"x": value})
            for n, value in enumerate(held)
        ]
        await engine.apply(space, points, upto_seq=3)
        query = np.ones((1, 2), np.float32)
        filters: list[Filter | None] = [Eq("x", 1), Eq("x", True), Eq("x", 1.0), None, Range("x", gt=0)]
        found = await asyncio.gather(
            *(engine.search(space, Wanted(queries=query, top_k=9, filter=one)) for one in filters)
        )
        assert [[hit.number for hit in hits.of[0]] for hits in found] == [[0, 2], [1, 3], [0, 2], [0, 1, 2, 3], [0, 2]]

    play(tmp_path, scenario)


@pytest.mark.parametrize("rows, by", [(20, "MainThread"), (200, "faiss")])
def test_metadata_of_many_rows_is_read_beside_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, by: str
) -> None:
    readers: list[str] = []

    class Told(Columns):
        def __init__(self, metadata: Iterable[Metadata], created_at: NDArray[np.float64]) -> None:
            readers.append(threading.current_thread().name)
            super().__init__(metadata, created_at)

    monkeypatch.setattr(held_rows, "Columns", Told)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(4)
        await fill(engine, space, points_of(Clustered.of(rows, 4).vectors, metadata=lambda n: {"n": n}))
        query = np.ones((1, 4), np.float32)
        for wanted in (Wanted(queries=query, top_k=3), Wanted(queries=query, top_k=3, contains="x")):
            await engine.search(space, wanted)
        assert not readers
        found = await engine.search(space, Wanted(queries=query, top_k=3, filter=Eq("n", 7)))
        assert [hit.number for hit in found.of[0]] == [7]
        assert readers and all(name.partition("_")[0] == by for name in readers)

    play(tmp_path, scenario)


def test_a_search_that_is_wrong_spoils_no_other(tmp_path: Path) -> None:
    async def scenario(engine: FaissEngine) -> None:
        space = new_space(4)
        await fill(engine, space, points_of(Clustered.of(20, 4).vectors))
        right = Wanted(queries=np.ones((2, 4), np.float32), top_k=3)
        wrong = Wanted(queries=np.ones((1, 5), np.float32), top_k=3)
        found = await asyncio.gather(
            engine.search(space, right),
            engine.search(space, wrong),
            engine.search(space, right),
            return_exceptions=True,
        )
        assert isinstance(found[1], Invalid) and found[0] == found[2]
        with pytest.raises(Invalid):
            await engine.apply(space, points_of(np.ones((1, 3), np.float32), first=90), upto_seq=91)
        assert await engine.count(space) == 20

    play(tmp_path, scenario)


def test_equals_are_chosen_by_number_from_the_base_and_from_what_came_later(tmp_path: Path) -> None:
    async def scenario(engine: FaissEngine) -> None:
        space = new_space(8, "l2")
        vector = np.full(8, 0.3, np.float32)
        await fill(engine, space, points_of(np.tile(vector, (300, 1)), first=100))
        late = [Point(number=n, vector_id=f"w{n}", seq=1000 + n, vector=vector) for n in (3, 150, 399, 500)]
        await engine.apply(space, late, upto_seq=1500)
        for queries in (1, 40):
            hits = await engine.search(space, Wanted(queries=np.tile(vector, (queries, 1)), top_k=5))
            assert [[hit.number for hit in some] for some in hits.of] == [[3, 100, 101, 102, 103]] * queries

    play(tmp_path, scenario, Sizes(delta_rows=200))


def test_a_cancelled_search_leaves_the_others_alone(tmp_path: Path) -> None:
    data = Clustered.of(3000, 64, queries=20)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(64)
        await fill(engine, space, points_of(data.vectors))
        wanted = [Wanted(queries=query[None], top_k=3) for query in data.queries]
        tasks = [asyncio.create_task(engine.search(space, one)) for one in wanted]
        await asyncio.sleep(0)
        tasks[4].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[4], asyncio.CancelledError)
        for one, hits in zip(wanted[5:], found[5:], strict=True):
            assert hits == await engine.search(space, one)

    play(tmp_path, scenario)


def test_spaces_of_two_collections_are_searched_apart(tmp_path: Path) -> None:
    async def scenario(engine: FaissEngine) -> None:
        spaces = [new_space(3, "dot") for _ in range(2)]
        for place, space in enumerate(spaces):
            await fill(engine, space, points_of(np.eye(3, dtype=np.float32), first=10 * place))
        query = Wanted(queries=np.array([[3, 2, 1]], np.float32), top_k=2)
        found = await asyncio.gather(*(engine.search(space, query) for space in spaces))
        assert [[hit.number for hit in hits.of[0]] for hits in found] == [[0, 1], [10, 11]]

    play(tmp_path, scenario)
