"""What is told to whoever compares: scroll, count, digest."""

import numpy as np
import pytest

from shared.ports.vector_engine import BUCKETS, Point, VectorEngine, fingerprint
from tests.contract.engines.playing import Engines, filled, gone, new_space, play, point, scrolled, seen


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_a_scroll_goes_by_number_whatever_the_order_they_came_in(engines: Engines, limit: int) -> None:
    numbers = [100_000, 3, 2**40, 9, 10, 11, 1, 2, 99, 0]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(n, n % 7, 1, 0, 0, seq=s) for s, n in enumerate(numbers)])
        for one in (engine, oracle):
            await one.apply(space, [gone(10, 50), point(5, seq=51)], upto_seq=51)
        found = await scrolled(engine, space, limit)
        assert [one.number for one in found] == [0, 1, 2, 3, 5, 9, 11, 99, 100_000, 2**40]
        assert list(map(seen, found)) == list(map(seen, await scrolled(oracle, space, limit)))

    play(engines.opened, scenario)


def test_a_page_of_a_scroll_is_full_unless_it_is_the_last(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(n * n) for n in range(1, 30)] + [gone(4, 1000), gone(25, 1001)])
        for after, numbers in ((-1, [1, 9, 16]), (1, [9, 16, 36]), (5, [9, 16, 36]), (729, [784, 841]), (841, [])):
            assert [one.number for one in await engine.scroll(space, after=after, limit=3)] == numbers

    play(engines.opened, scenario)


def test_a_scroll_gives_vectors_to_the_bit(engines: Engines) -> None:
    generator = np.random.default_rng(7)
    vectors = generator.standard_normal((50, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    async def scenario(engine: VectorEngine) -> None:
        space = new_space("cosine", 16)
        points = [Point(number=n, vector_id=f"id-{n}", seq=n, vector=row) for n, row in enumerate(vectors, 1)]
        await filled(engine, space, points)
        held = [one.vector for one in await engine.scroll(space)]
        assert np.array_equal(np.array(held), vectors)
        assert all(one is not None and one.dtype == np.float32 for one in held)

    play(engines.opened, scenario)


def test_a_scroll_leaves_texts_out(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(1, text="long")])
        (found,) = await engine.scroll(space)
        assert seen(found) == seen(point(1))

    play(engines.opened, scenario)


def test_a_digest_is_the_xor_of_the_fingerprints_in_each_bucket(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        points = [point(n, seq=n + 1000) for n in (1, 2, 257, 256 * 5 + 2, 255, 0, 2**40 + 3)]
        await filled(engine, space, [*points, gone(9, 5000)])
        buckets = [0] * BUCKETS
        for one in points:
            buckets[one.number % BUCKETS] ^= fingerprint(one.number, one.seq)
        assert list(await engine.digest(space)) == buckets

    play(engines.opened, scenario)


def test_a_digest_changes_in_the_bucket_of_what_changed(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(n) for n in range(1, 40)])
        before = list(await engine.digest(space))
        await engine.apply(space, [point(7, seq=99), gone(9, 100), point(300, seq=101)], upto_seq=101)
        after = list(await engine.digest(space))
        assert [bucket for bucket in range(BUCKETS) if before[bucket] != after[bucket]] == [7, 9, 300 % BUCKETS]

    play(engines.opened, scenario)


def test_an_empty_space_has_a_digest_of_zeros(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(1), gone(1, 2)])
        assert list(await engine.digest(space)) == [0] * BUCKETS

    play(engines.opened, scenario)
