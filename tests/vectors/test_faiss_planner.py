"""Recall at every selectivity, what is said about it, and right answers while everything changes."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.ports.vector_engine import Metric, Point, Space, Wanted
from shared.stores.faiss.codes import Codes
from shared.stores.faiss.engine import FaissEngine
from shared.stores.faiss.kernels import Flat
from shared.stores.faiss.planner import Sizes
from shared.vectors.filters import Eq, Range
from tests.vectors.faiss_data import Clustered, Matrix, fill, new_space, play, points_of
from tests.vectors.oracle import Oracle

# By codes from 5 % of the rows on, so that they are what is looked at.
_BY_CODES = Sizes(flat_rows=1500, exact_rows=1500, exact_share=0.05)


def recall(found: list[list[int]], vectors: Matrix, marked: NDArray[np.bool_], queries: Matrix) -> float:
    """Of the ten best that are marked, those found."""
    rows = np.flatnonzero(marked)
    best = rows[np.argsort(-(queries @ vectors[rows].T), axis=1, kind="stable")[:, :10]]
    return float(np.mean([len(set(some) & set(right)) / 10 for some, right in zip(found, best.tolist(), strict=True)]))


async def searched(engine: FaissEngine, space: Space, wanted: Wanted) -> tuple[list[list[int]], bool]:
    hits = await engine.search(space, wanted)
    return [[hit.number for hit in some] for some in hits.of], hits.exact


@pytest.mark.parametrize("sizes", [Sizes(), _BY_CODES], ids=["as it is", "by codes wherever it can"])
def test_recall_holds_at_every_selectivity_also_where_what_passes_lies_together(tmp_path: Path, sizes: Sizes) -> None:
    data = Clustered.of(30_000, 384)
    shares = np.random.default_rng(2).random(30_000)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(384)
        spread = [{"share": float(share), "cluster": int(c)} for share, c in zip(shares, data.clusters, strict=True)]
        await fill(engine, space, points_of(data.vectors, metadata=lambda n: spread[n]))
        await engine._of(space).compacted()
        everything = np.ones(30_000, np.bool_)
        found, exact = await searched(engine, space, Wanted(queries=data.queries, top_k=10))
        assert not exact and recall(found, data.vectors, everything, data.queries) >= 0.99
        for share in (0.5, 0.1, 0.02, 0.005):
            for key, marked in (("share", shares < share), ("cluster", data.clusters < max(1, share * 100))):
                bound = share if key == "share" else max(1, share * 100)
                wanted = Wanted(queries=data.queries, top_k=10, filter=Range(key, lt=bound))
                found, exact = await searched(engine, space, wanted)
                assert recall(found, data.vectors, marked, data.queries) >= (1.0 if exact else 0.99), (key, share)
                assert exact or marked.mean() > sizes.exact_share

    play(tmp_path, scenario, sizes)


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_codes_know_how_deep_they_have_to_look(metric: Metric) -> None:
    data = Clustered.of(8000, 64, queries=60)
    lengths = np.random.default_rng(3).uniform(0.8, 1.2, (8000, 1)).astype(np.float32)
    vectors = data.vectors if metric == "cosine" else data.vectors * lengths
    codes = Codes.of(Flat(vectors, metric))
    assert codes is not None
    found = codes.candidates(data.queries, codes.depth_for(10))
    exact = Flat(vectors, metric).nearest(data.queries, 10, None)[1]
    held = [len(set(some) & set(right)) / 10 for some, right in zip(found.tolist(), exact.tolist(), strict=True)]
    assert np.mean(held) >= 0.99


def test_few_numbers_have_no_codes() -> None:
    assert Codes.of(Flat(Clustered.of(3000, 8).vectors, "l2")) is None


def test_what_was_deleted_does_not_make_a_search_compare_everything(tmp_path: Path) -> None:
    data = Clustered.of(6000, 64)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(64)
        await fill(engine, space, points_of(data.vectors))
        await engine._of(space).compacted()
        live = np.ones(6000, np.bool_)
        for gone in (0, 1000):
            live[:gone] = False
            points = [Point(number=n, vector_id=f"v{n}", seq=7000 + n, vector=None) for n in range(gone)]
            await engine.apply(space, points, upto_seq=9000)
            found, exact = await searched(engine, space, Wanted(queries=data.queries, top_k=10))
            assert not exact and recall(found, data.vectors, live, data.queries) >= 0.99

    play(tmp_path, scenario)


def test_of_equals_that_are_found_by_their_codes_the_first_numbers_are_the_best(tmp_path: Path) -> None:
    data = Clustered.of(5000, 64, queries=5)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(64)
        vectors = data.vectors.copy()
        vectors[1000:1020] = data.queries[0]
        await fill(engine, space, points_of(vectors))
        await engine._of(space).compacted()
        found, exact = await searched(engine, space, Wanted(queries=data.queries[:1], top_k=10))
        assert not exact and found == [list(range(1000, 1010))]

    play(tmp_path, scenario)


def test_a_filter_that_is_met_elsewhere_than_the_query_lies_is_answered_exactly(tmp_path: Path) -> None:
    data = Clustered.of(6000, 64, clusters=4)
    far = data.clusters < 2
    queries = data.vectors[~far][:20]

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(64)
        await fill(engine, space, points_of(data.vectors, metadata=lambda n: {"far": bool(far[n])}))
        await engine._of(space).compacted()
        found, exact = await searched(engine, space, Wanted(queries=queries, top_k=10, filter=Eq("far", True)))
        assert exact and recall(found, data.vectors, far, queries) == 1.0

    play(tmp_path, scenario, _BY_CODES)


def test_searches_are_right_while_points_come_and_go_and_bases_are_built(tmp_path: Path) -> None:
    data = Clustered.of(4000, 32, clusters=30, queries=8)
    generator = np.random.default_rng(5)

    async def scenario(engine: FaissEngine) -> None:
        space, oracle = new_space(32), Oracle()
        for one in (engine, oracle):
            await one.ensure(space)
        # Every answer as it was at each seq; a search says which one it is of.
        right: dict[int, list[list[int]]] = {}
        written = asyncio.Event()
        wanted = Wanted(queries=data.queries, top_k=5)

        async def write() -> None:
            seq = 0
            for _ in range(120):
                numbers = generator.choice(1500, int(generator.integers(1, 60)), replace=False).tolist()
                points = []
                for number in numbers:
                    seq += 1
                    vector = None if generator.random() < 0.3 else data.vectors[generator.integers(4000)]
                    points.append(Point(number=number, vector_id=f"v{number}", seq=seq, vector=vector))
                await oracle.apply(space, points, upto_seq=seq)
                hits = await oracle.search(space, wanted)
                right[seq] = [[hit.number for hit in some] for some in hits.of]
                await engine.apply(space, points, upto_seq=seq)
            written.set()

        async def read() -> None:
            seen = 0
            while not written.is_set() or not seen:
                hits = await engine.search(space, wanted)
                assert hits.applied_seq >= seen and hits.exact
                seen = hits.applied_seq
                if seen:
                    assert [[hit.number for hit in some] for some in hits.of] == right[seen]
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            for _ in range(3):
                group.create_task(read())
        await engine.settled(space)
        assert list(await engine.digest(space)) == list(await oracle.digest(space))
        assert await engine.count(space) == await oracle.count(space)
        # Bases were built meanwhile, or this would have shown nothing.
        assert len(engine._of(space).view.parts[0].rows) > 0

    play(tmp_path, scenario, Sizes(delta_rows=64, delta_limit=256))


def test_writers_wait_while_a_base_is_built_that_is_long_due(tmp_path: Path) -> None:
    data = Clustered.of(3000, 16)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(16)
        await engine.ensure(space)
        largest = 0
        for point in points_of(data.vectors):
            await engine.apply(space, [point], upto_seq=point.seq)
            largest = max(largest, engine._of(space).view.delta_rows)
        assert largest <= 200 and await engine.count(space) == 3000

    play(tmp_path, scenario, Sizes(delta_rows=50, delta_limit=200))


def test_what_is_deleted_leaves_memory(tmp_path: Path) -> None:
    data = Clustered.of(4000, 32)

    async def scenario(engine: FaissEngine) -> None:
        space = new_space(32)
        await fill(engine, space, points_of(data.vectors))
        full = engine.size_bytes(space)
        assert full / 4000 >= 32 * 4
        gone = [Point(number=n, vector_id=f"v{n}", seq=5000 + n, vector=None) for n in range(3900)]
        await engine.apply(space, gone, upto_seq=9000)
        await engine.settled(space)
        assert engine.size_bytes(space) < full / 10
        assert await engine.count(space) == 100

    play(tmp_path, scenario, Sizes(delta_rows=500))
