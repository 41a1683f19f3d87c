"""Spaces come, go, and never mix."""

import pytest

from shared.errors import NotFound
from shared.ports.vector_engine import Space, VectorEngine
from shared.vectors.filters import Eq
from tests.contract.engines.playing import (
    METRICS,
    OF_A_SPACE,
    Engines,
    ask,
    filled,
    gone,
    new_space,
    play,
    point,
    same_search,
    same_state,
    wanted,
)
from tests.vectors.oracle import Oracle


@pytest.mark.parametrize("asked", OF_A_SPACE)
def test_a_space_that_was_never_made_is_not_found(engines: Engines, asked: str) -> None:
    async def scenario(engine: VectorEngine) -> None:
        await engine.ensure(new_space())
        with pytest.raises(NotFound):
            await ask(engine, asked, new_space())

    play(engines.opened, scenario)


@pytest.mark.parametrize("asked", OF_A_SPACE)
def test_a_space_that_was_dropped_is_not_found(engines: Engines, asked: str) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(1)])
        await engine.drop(space)
        with pytest.raises(NotFound):
            await ask(engine, asked, space)
        assert space.name not in await engine.spaces()

    play(engines.opened, scenario)


def test_to_make_room_twice_loses_nothing(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        oracle = await filled(engine, space, [point(1), gone(2, 2)])
        await engine.ensure(space)
        await same_state(engine, oracle, space)

    play(engines.opened, scenario)


def test_to_drop_what_is_not_there_does_nothing(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await engine.drop(space)
        await engine.ensure(space)
        for _ in range(2):
            await engine.drop(space)

    play(engines.opened, scenario)


def test_a_space_made_again_is_empty_and_has_forgotten_everything(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space()
        await filled(engine, space, [point(1, seq=100), gone(2, 101)])
        await engine.drop(space)
        await engine.ensure(space)
        oracle = Oracle()
        await oracle.ensure(space)
        await same_state(engine, oracle, space)
        for one in (engine, oracle):
            await one.apply(space, [point(1, seq=1), point(2, seq=2)], upto_seq=2)
        await same_state(engine, oracle, space)
        await same_search(engine, oracle, space, wanted())

    play(engines.opened, scenario)


def test_a_space_may_be_dropped_by_its_name_alone(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        space = new_space("cosine", 3)
        await filled(engine, space, [point(1, 1, 0, 0)])
        assert space.name in await engine.spaces()
        await engine.drop(Space.named(space.name))
        assert space.name not in await engine.spaces()

    play(engines.opened, scenario)


def test_spaces_are_listed_by_name(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        made = [new_space(metric) for metric in METRICS]
        for space in made:
            await filled(engine, space, [gone(1, 1)])
        names = {space.name for space in made}
        assert sorted(set(await engine.spaces()) & names) == sorted(names)
        await engine.drop(made[1])
        assert set(await engine.spaces()) & names == names - {made[1].name}

    play(engines.opened, scenario)


def test_two_spaces_never_mix(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        first, second = new_space("dot"), new_space("l2")
        ours = await filled(engine, first, [point(1, metadata={"owner": "us"}), point(2), gone(3, 3)])
        theirs = await filled(engine, second, [point(2, 5, 5, 5, 5, seq=9), point(3, seq=10)])
        for oracle, space in ((ours, first), (theirs, second)):
            await same_state(engine, oracle, space)
            await same_search(engine, oracle, space, wanted())
            await same_search(engine, oracle, space, wanted(filter=Eq("owner", "us")))
        await engine.drop(second)
        await same_state(engine, ours, first)

    play(engines.opened, scenario)


def test_two_epochs_of_a_collection_stand_beside_each_other(engines: Engines) -> None:
    async def scenario(engine: VectorEngine) -> None:
        old = new_space()
        new = Space(collection_id=old.collection_id, epoch=1, dimension=4, metric="dot")
        before = await filled(engine, old, [point(1), point(2)])
        after = await filled(engine, new, [point(2, seq=8)])
        await same_state(engine, before, old)
        await same_state(engine, after, new)
        await engine.drop(old)
        await same_state(engine, after, new)
        with pytest.raises(NotFound):
            await engine.count(old)

    play(engines.opened, scenario)
