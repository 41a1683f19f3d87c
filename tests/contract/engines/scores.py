"""Metrics, scores, their order, and how many are asked for."""

import numpy as np
import pytest

from shared.ports.vector_engine import Metric, VectorEngine, Wanted
from shared.vectors.filters import Eq, Exists
from tests.contract.engines.playing import (
    METRICS,
    Engines,
    filled,
    new_space,
    play,
    point,
    same_search,
    same_state,
    wanted,
)


@pytest.mark.parametrize("metric", METRICS)
def test_the_nearest_come_first_with_the_score_of_the_metric(engines: Engines, metric: Metric) -> None:
    half = 0.5
    points = [
        point(1, 1, 0, 0, 0),
        point(2, half, half, half, half),
        point(3, -1, 0, 0, 0),
        point(4, 0, 0, 1, 0),
        point(5, half, -half, half, -half),
    ]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space(metric)
        oracle = await filled(engine, space, points)
        first = await same_search(engine, oracle, space, wanted((1, 0, 0, 0)))
        assert first == [[1, 2, 5, 4, 3]]
        await same_search(engine, oracle, space, wanted((half, half, -half, half)))

    play(engines.opened, scenario)


def test_scores_are_what_the_metrics_say(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        for metric, score in (("dot", 11.0), ("l2", 1 / (1 + 5.0))):
            space = new_space("dot" if metric == "dot" else "l2", 2)
            await filled(engine, space, [point(7, 1, 2)])
            query = (3.0, 4.0) if metric == "dot" else (4.0, 6.0)
            answer = await engine.search(space, wanted(query))
            assert [hit.number for hit in answer.of[0]] == [7]
            assert [hit.score for hit in answer.of[0]] == pytest.approx([score], rel=1e-6)

    play(engines.opened, scenario)


def test_a_dot_product_grows_with_the_length(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("dot", 2)
        oracle = await filled(engine, space, [point(1, 1, 0), point(2, 100, 0), point(3, 10, 10), point(4, -100, 3)])
        assert await same_search(engine, oracle, space, wanted((2, 1))) == [[2, 3, 1, 4]]

    play(engines.opened, scenario)


def test_the_vector_itself_scores_one_in_an_l2_space(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 2)
        await filled(engine, space, [point(1, 3, 4)])
        assert [hit.score for hit in (await engine.search(space, wanted((3, 4)))).of[0]] == [1.0]

    play(engines.opened, scenario)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_scores_come_by_number(engines: Engines, metric: Metric) -> None:
    points = [point(number, *((1, 0) if number % 3 else (0, 1)), seq=100 - number) for number in range(60, 0, -1)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space(metric, 2)
        oracle = await filled(engine, space, points)
        for top_k in (1, 7, 40, 41, 60):
            await same_search(engine, oracle, space, wanted((1, 0), top_k=top_k))
        assert await same_search(engine, oracle, space, wanted((1, 0), top_k=5)) == [[1, 2, 4, 5, 7]]

    play(engines.opened, scenario)


def test_the_lowest_numbers_are_chosen_among_many_equals(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 2)
        oracle = await filled(engine, space, [point(number, 1, 1) for number in range(300, 0, -1)])
        assert await same_search(engine, oracle, space, wanted((1, 1), top_k=3)) == [[1, 2, 3]]

    play(engines.opened, scenario)


def test_the_vector_of_nothing_but_zeros_is_a_vector(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 3)
        oracle = await filled(engine, space, [point(1, 0, 0, 0), point(2, 0, 1, 0)])
        assert await same_search(engine, oracle, space, wanted((0, 0, 0))) == [[1, 2]]
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


@pytest.mark.parametrize("dimension", [1, 2, 384, 1536])
def test_every_dimension_is_searched(engines: Engines, dimension: int) -> None:
    generator = np.random.default_rng(dimension)
    vectors = generator.integers(-4, 5, (40, dimension)).astype(np.float32)

    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", dimension)
        oracle = await filled(engine, space, [point(n + 1, *row) for n, row in enumerate(vectors.tolist())])
        await same_search(engine, oracle, space, wanted(*vectors[:3].tolist()))
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_very_large_and_very_small_values_keep_their_order(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("dot", 2)
        points = [point(1, 2.0**60, 0), point(2, 2.0**-60, 0), point(3, -(2.0**60), 0), point(4, 0, 1)]
        oracle = await filled(engine, space, points)
        assert await same_search(engine, oracle, space, wanted((1, 0))) == [[1, 2, 4, 3]]
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


@pytest.mark.parametrize("top_k", [0, 1, 2, 3, 4, 1000])
def test_as_many_are_answered_as_were_asked_for_and_are_there(engines: Engines, top_k: int) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(1), point(2), point(3)])
        found = await same_search(engine, oracle, space, wanted(top_k=top_k))
        assert found == [[3, 2, 1][:top_k]]

    play(engines.opened, scenario)


def test_an_empty_space_has_no_hits(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [])
        assert await same_search(engine, oracle, space, wanted()) == [[]]
        assert await same_search(engine, oracle, space, wanted(filter=Exists("a"), contains="x")) == [[]]
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_several_queries_are_answered_in_their_order(engines: Engines) -> None:
    queries = [(1, 0, 0, 0), (0, 1, 0, 0), (-1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(n, n, 10 - n, 0, 0, metadata={"odd": n % 2}) for n in range(1, 10)])
        found = await same_search(engine, oracle, space, wanted(*queries, top_k=3))
        assert found == [[9, 8, 7], [1, 2, 3], [1, 2, 3], [9, 8, 7], [1, 2, 3]]
        await same_search(engine, oracle, space, wanted(*queries, top_k=3, filter=Eq("odd", 1)))

    play(engines.opened, scenario)


def test_no_query_has_no_answer(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(1)])
        answer = await engine.search(space, Wanted(queries=np.zeros((0, 4), np.float32), top_k=5))
        assert list(answer.of) == []

    play(engines.opened, scenario)


def test_thousands_are_searched_and_scrolled(engines: Engines) -> None:
    generator = np.random.default_rng(1)
    vectors = generator.integers(-40, 41, (3000, 8)).astype(np.float32)
    points = [point(n + 1, *row, metadata={"part": n % 10}) for n, row in enumerate(vectors.tolist())]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 8)
        oracle = await filled(engine, space, points)
        asked = generator.integers(-40, 41, (5, 8)).tolist()
        await same_search(engine, oracle, space, wanted(*asked, filter=Eq("part", 3)))
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)
