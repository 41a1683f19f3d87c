"""What an engine holds after a restart."""

import pytest

from shared.errors import NotFound
from shared.ports.vector_engine import Metric, VectorEngine
from shared.vectors.filters import Eq, Not
from tests.contract.engines.filters import PAPERS
from tests.contract.engines.playing import (
    METRICS,
    Engines,
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


@pytest.mark.parametrize("metric", METRICS)
def test_a_restart_keeps_everything(engines: Engines, metric: Metric) -> None:
    space = new_space(metric)
    points = [
        point(n, 0.5, 0.5, 0.5 if n % 2 else -0.5, 0.5 if n % 3 else -0.5, metadata=metadata, text=f"text {n}")
        for n, metadata in PAPERS.items()
    ]
    oracle = Oracle()

    async def before(engine: VectorEngine) -> None:
        for one in (engine, oracle):
            await one.ensure(space)
            await one.apply(space, points, upto_seq=20)
            await one.apply(space, [gone(2, 21), point(3, 1, 0, 0, 0, seq=22)], upto_seq=30)

    async def after(engine: VectorEngine) -> None:
        assert space.name in await engine.spaces()
        await same_state(engine, oracle, space)
        await same_search(engine, oracle, space, wanted())
        await same_search(engine, oracle, space, wanted(filter=Not(Eq("lang", "en")), contains="text"))
        for one in (engine, oracle):
            await one.apply(space, [point(50, 1, 0, 0, 0), gone(1, 51)], upto_seq=51)
        await same_state(engine, oracle, space)

    play(engines.opened, before, after)


def test_what_was_dropped_stays_away_after_a_restart(engines: Engines) -> None:
    dropped, kept = new_space(), new_space()

    async def before(engine: VectorEngine) -> None:
        for space in (dropped, kept):
            await filled(engine, space, [point(1)])
        await engine.drop(dropped)

    async def after(engine: VectorEngine) -> None:
        assert set(await engine.spaces()) & {dropped.name, kept.name} == {kept.name}
        with pytest.raises(NotFound):
            await engine.applied_seq(dropped)

    play(engines.opened, before, after)
