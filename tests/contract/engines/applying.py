"""What is applied: again, in another order, late, at once."""

import asyncio

from shared.ports.vector_engine import VectorEngine
from shared.vectors.filters import Eq, Exists, Not
from tests.contract.engines.playing import (
    Engines,
    filled,
    gone,
    new_space,
    play,
    point,
    same_search,
    same_state,
    seen,
    wanted,
)


def test_what_is_applied_again_changes_nothing(engines: Engines) -> None:
    points = [point(1), point(2, metadata={"a": [1, 2]}, text="text"), gone(3, 3), point(4)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, points)
        for _ in range(2):
            await engine.apply(space, points, upto_seq=4)
            await same_state(engine, oracle, space)
        await same_search(engine, oracle, space, wanted())

    play(engines.opened, scenario)


def test_the_order_of_a_batch_does_not_matter(engines: Engines) -> None:
    points = [point(1, 1, 0, 0, 0, seq=1), point(1, 2, 0, 0, 0, seq=5), point(2, seq=2), gone(2, 4), point(3, seq=3)]

    async def scenario(engine: VectorEngine) -> None:
        for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 1, 4, 2, 0]):
            space = new_space()
            oracle = await filled(engine, space, [points[place] for place in order])
            assert [seen(point) for point in await engine.scroll(space)] == [seen(points[1]), seen(points[4])]
            await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_batches_that_come_in_another_order_end_in_the_same_state(engines: Engines) -> None:
    batches = [[point(n, n, k, 0, 0, seq=10 * k + n) for n in range(1, 6)] for k in range(1, 5)]
    batches[2][3] = gone(4, 34)

    async def scenario(engine: VectorEngine) -> None:
        states = []
        for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1, 0)):
            space = new_space()
            await engine.ensure(space)
            for place in order:
                await engine.apply(space, batches[place], upto_seq=10 * place + 15)
            assert await engine.applied_seq(space) == 45
            states.append((list(await engine.digest(space)), list(map(seen, await engine.scroll(space)))))
        assert states[0] == states[1] == states[2]
        assert [entry[0] for entry in states[0][1]] == [1, 2, 3, 4, 5]

    play(engines.opened, scenario)


def test_an_older_point_changes_nothing(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(1, 9, 9, 9, 9, seq=9, metadata={"new": True}, text="new")])
        await engine.apply(space, [point(1, 1, 1, 1, 1, seq=8, metadata={"old": True}, text="old")], upto_seq=9)
        await engine.apply(space, [gone(1, 7)], upto_seq=9)
        await same_state(engine, oracle, space)
        assert await same_search(engine, oracle, space, wanted(contains="new", filter=Exists("new"))) == [[1]]

    play(engines.opened, scenario)


def test_what_is_deleted_is_found_by_nothing(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(n, metadata={"a": n}, text="text") for n in range(1, 6)])
        for one in (engine, oracle):
            await one.apply(space, [gone(5, 10), gone(2, 11), gone(77, 12)], upto_seq=12)
        assert await same_search(engine, oracle, space, wanted()) == [[4, 3, 1]]
        assert await same_search(engine, oracle, space, wanted(filter=Not(Exists("none")))) == [[4, 3, 1]]
        assert await same_search(engine, oracle, space, wanted(filter=Eq("a", 5))) == [[]]
        assert await same_search(engine, oracle, space, wanted(contains="text")) == [[4, 3, 1]]
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_an_older_point_does_not_bring_back_what_is_deleted(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [gone(1, 5), point(2, seq=6), gone(3, 7)])
        await engine.apply(space, [point(1, seq=4), point(3, seq=6)], upto_seq=7)
        await engine.apply(space, [point(1, seq=1)], upto_seq=7)
        assert [found.number for found in await engine.scroll(space)] == [2]
        assert await engine.count(space) == 1

    play(engines.opened, scenario)


def test_neither_does_it_after_a_restart(engines: Engines) -> None:
    space = new_space()

    async def before(engine: VectorEngine) -> None:
        await filled(engine, space, [point(1, seq=1), point(2, seq=2)])
        await engine.apply(space, [gone(1, 5)], upto_seq=5)

    async def after(engine: VectorEngine) -> None:
        await engine.apply(space, [point(1, seq=4)], upto_seq=5)
        assert [found.number for found in await engine.scroll(space)] == [2]

    play(engines.opened, before, after)


def test_a_newer_point_brings_back_what_was_deleted(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(1, seq=1, metadata={"first": 1}), gone(1, 5)])
        for one in (engine, oracle):
            await one.apply(space, [point(1, 3, 0, 0, 0, seq=6, metadata={"second": 2})], upto_seq=6)
        assert await same_search(engine, oracle, space, wanted(filter=Exists("second"))) == [[1]]
        for one in (engine, oracle):
            await one.apply(space, [gone(1, 5)], upto_seq=6)
        await same_state(engine, oracle, space)
        for one in (engine, oracle):
            await one.apply(space, [gone(1, 7)], upto_seq=7)
            await one.apply(space, [point(1, seq=6)], upto_seq=7)
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_a_vector_that_changes_is_found_where_it_is_now(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 2)
        oracle = await filled(engine, space, [point(n, n, 0) for n in range(1, 20)])
        for one in (engine, oracle):
            await one.apply(space, [point(3, 100, 100, seq=50)], upto_seq=50)
        assert await same_search(engine, oracle, space, wanted((3, 0), (100, 100), top_k=2)) == [[2, 4], [3, 19]]

    play(engines.opened, scenario)


def test_applied_seq_never_goes_back(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await engine.ensure(space)
        assert await engine.applied_seq(space) == 0
        for upto, applied in ((5, 5), (3, 5), (5, 5), (2**40, 2**40)):
            await engine.apply(space, [], upto_seq=upto)
            assert await engine.applied_seq(space) == applied
        assert (await engine.search(space, wanted())).applied_seq == 2**40

    play(engines.opened, scenario)


def test_what_is_applied_is_there_when_its_seq_is(engines: Engines) -> None:
    """Whoever sees that a batch is applied sees all of it."""

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await engine.ensure(space)
        written = asyncio.Event()

        async def write() -> None:
            for batch in range(8):
                numbers = range(batch * 20 + 1, batch * 20 + 21)
                await engine.apply(space, [point(number) for number in numbers], upto_seq=numbers[-1])
            written.set()

        async def read() -> None:
            while not written.is_set():
                applied = await engine.applied_seq(space)
                assert await engine.count(space) >= applied
                answer = await engine.search(space, wanted(top_k=500))
                assert len(answer.of[0]) >= answer.applied_seq
                # An engine in memory lets nobody else have a turn.
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(read())
        assert (await engine.applied_seq(space), await engine.count(space)) == (160, 160)

    play(engines.opened, scenario)


def test_batches_applied_at_once_end_as_one_after_the_other(engines: Engines) -> None:
    versions = [[point(n, n, k, 0, 0, seq=k * 10 + n) for n in range(1, 8)] for k in range(6)]

    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [])
        async with asyncio.TaskGroup() as group:
            for version in versions:
                group.create_task(engine.apply(space, version, upto_seq=version[-1].seq))
        for version in versions:
            await oracle.apply(space, version, upto_seq=version[-1].seq)
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_a_large_batch_is_applied_whole(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("dot", 64)
        points = [point(n, *([float(n % 17)] * 64), text="text " * 200, metadata={"n": n}) for n in range(1, 1501)]
        oracle = await filled(engine, space, points)
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)
