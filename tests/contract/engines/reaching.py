"""An engine that is away, and one that is busy."""

import asyncio

import pytest

from shared.errors import Unavailable
from shared.ports.vector_engine import VectorEngine
from shared.vectors.filters import Eq
from tests.contract.engines.playing import (
    OF_A_SPACE,
    Engines,
    ask,
    filled,
    new_space,
    play,
    point,
    same_search,
    same_state,
    wanted,
)


@pytest.mark.parametrize("asked", ["ensure", "drop", "spaces", *OF_A_SPACE])
def test_an_engine_that_cannot_be_reached_is_unavailable(engines: Engines, asked: str) -> None:
    async def scenario(engine: VectorEngine) -> None:
        with pytest.raises(Unavailable):
            await ask(engine, asked, new_space())

    play(engines.away, scenario)


def test_an_engine_says_whether_it_is_well(engines: Engines) -> None:
    async def well(engine: VectorEngine) -> None:
        assert (await engine.health()).status == "ok"

    async def away(engine: VectorEngine) -> None:
        assert (await engine.health()).status == "down"

    play(engines.opened, well)
    play(engines.away, away)


def test_searches_at_once_are_each_answered_right(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 2)
        oracle = await filled(engine, space, [point(n, n, n % 5, metadata={"m": n % 3}) for n in range(1, 60)])
        async with asyncio.TaskGroup() as group:
            for n in range(30):
                asked = wanted((n, 0), top_k=4, filter=Eq("m", n % 3) if n % 2 else None)
                group.create_task(same_search(engine, oracle, space, asked))

    play(engines.opened, scenario)


def test_searches_while_it_is_written_find_only_what_was_or_is(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("l2", 2)
        await filled(engine, space, [point(n, n, 0, seq=n) for n in range(1, 31)])
        written = asyncio.Event()

        async def write() -> None:
            for turn in range(1, 7):
                moved = [point(n, n, turn, seq=100 * turn + n) for n in range(1, 16)]
                await engine.apply(space, moved, upto_seq=100 * turn + 15)
            written.set()

        async def read() -> None:
            while not written.is_set():
                hits = (await engine.search(space, wanted((30, 0), top_k=15))).of[0]
                assert [hit.number for hit in hits] == list(range(30, 15, -1))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(read())

    play(engines.opened, scenario)


def test_spaces_are_written_at_once(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        spaces = [new_space() for _ in range(4)]
        points = [[point(n, n, place, 0, 0) for n in range(1, 10)] for place in range(4)]
        async with asyncio.TaskGroup() as group:
            filling = [group.create_task(filled(engine, *one)) for one in zip(spaces, points, strict=True)]
        for space, oracle in zip(spaces, filling, strict=True):
            await same_state(engine, oracle.result(), space)

    play(engines.opened, scenario)
