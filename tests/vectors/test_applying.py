"""Engines follow the record, whatever happens to them meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.signals import Signals
from shared.ports.vector_engine import Space, fingerprint
from shared.vectors.applying import Applier, space_of
from shared.vectors.reconcile import digest_of
from shared.wiring import Ports
from tests.vectors.oracle import Oracle
from tests.vectors.test_truth import Here, create, play


@asynccontextmanager
async def following(here: Here, settings: Settings, engine: Oracle) -> AsyncIterator[Applier]:
    async with Ports(settings) as ports:
        yield Applier(engine, truth=here.truth, signals=await ports.open(Signals))


def followed(settings: Settings, scenario: Callable[[Here, Oracle, Applier], Awaitable[None]]) -> None:
    async def whole(here: Here) -> None:
        engine = Oracle()
        async with following(here, settings, engine) as applier:
            await scenario(here, engine, applier)

    play(settings, whole)


async def held(here: Here, engine: Oracle, *, epoch: int = 0) -> dict[str, int]:
    """By id, the seq of each."""
    return {point.vector_id: point.seq for point in await engine.scroll(await space(here, epoch=epoch))}


async def space(here: Here, *, epoch: int = 0) -> Space:
    return space_of(await here.collections.find(here.ada, "papers"), epoch)


def test_an_engine_holds_what_the_record_does_after_a_turn(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert("a", "b", "c")
        await here.vectors.delete(here.ada, "papers", ["b"])
        await applier.turn()
        assert await held(here, engine) == {"a": 1, "c": 3}
        assert await engine.applied_seq(await space(here)) == 4
        kept = await here.collections.find(here.ada, "papers")
        assert (await here.truth.progress("faiss"))[kept.id].applied_seq == 4

    followed(settings, scenario)


def test_what_is_there_already_is_not_carried_again(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert(*(f"v{number}" for number in range(2500)))
        await applier.turn()
        await here.upsert("v7", value=2.0)
        await applier.turn()
        await applier.turn()
        assert [count for _, count in engine.applied] == [1000, 1000, 500, 1]

    followed(settings, scenario)


def test_a_hint_is_followed_at_once_and_other_backends_are_left_alone(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        chroma = Oracle("chroma")
        async with following(here, settings, chroma) as other:
            running = [asyncio.create_task(applier.run()), asyncio.create_task(other.run())]
            for name in ("a", "b"):
                await here.upsert(name)
                async with asyncio.timeout(10):
                    while name not in await _or_nothing(here, engine):
                        await asyncio.sleep(0.005)
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        assert chroma.spaces_held == {}

    followed(settings, scenario)


async def _or_nothing(here: Here, engine: Oracle) -> dict[str, int]:
    with suppress(Exception):
        return await held(here, engine)
    return {}


def test_an_engine_that_was_away_catches_up_and_meanwhile_says_why(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert("a")
        engine.is_down = True
        with pytest.raises(Unavailable):
            await applier.turn()
        kept = await here.collections.find(here.ada, "papers")
        noted = (await here.truth.progress("faiss"))[kept.id]
        assert (noted.applied_seq, noted.error) == (0, "faiss cannot be reached")
        engine.is_down = False
        await applier.turn()
        assert await held(here, engine) == {"a": 1}
        assert (await here.truth.progress("faiss"))[kept.id].error is None

    followed(settings, scenario)


def test_an_engine_that_has_lost_everything_is_filled_again(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert("a", "b")
        await applier.turn()
        engine.spaces_held.clear()
        (drift,) = await applier.sweep()
        assert (await held(here, engine), drift.differing) == ({"a": 1, "b": 2}, 0)

    followed(settings, scenario)


def test_an_engine_that_has_missed_a_forgotten_deletion_begins_anew(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert("a", "b")
        await applier.turn()
        old = engine.spaces_held[(await space(here)).name]
        before = replace(old, points=dict(old.points), seqs=dict(old.seqs))
        await here.vectors.delete(here.ada, "papers", ["a"])
        await here.upsert("c")
        await applier.turn()
        # A replica that comes back from a snapshot of two days ago.
        engine.spaces_held[(await space(here)).name] = before
        await here.database.execute("UPDATE vector_collections SET backends = '{faiss}'")
        await here.database.execute("UPDATE vectors SET deleted_at = deleted_at - interval '2 days'")
        await here.truth.trim()
        await applier.sweep()
        assert await engine.spaces() == [(await space(here, epoch=1)).name]
        assert await held(here, engine, epoch=1) == {"b": 2, "c": 4}

    followed(settings, scenario)


def test_drift_of_every_kind_is_repaired_and_only_what_differs_is_touched(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert(*(f"v{number}" for number in range(600)))
        await here.vectors.delete(here.ada, "papers", ["v3"])
        await applier.turn()
        mine = engine.spaces_held[(await space(here)).name]
        lost, stale, ghost = mine.points.pop(10), mine.points[20], mine.points[30]
        del mine.seqs[10]
        mine.points[20] = replace(stale, seq=stale.seq - 1)
        mine.seqs[20] = stale.seq - 1
        mine.points[3] = replace(ghost, number=3, seq=2, vector_id="v3")
        mine.points[999] = replace(ghost, number=999, seq=1, vector_id="never")
        engine.applied.clear()
        (drift,) = await applier.sweep()
        assert (drift.differing, drift.repaired, drift.is_repaired) == (4, 4, True)
        assert engine.applied == [((await space(here)).name, 4)]
        assert (mine.points[10].seq, mine.points[20].seq) == (lost.seq, stale.seq)
        assert {3, 999}.isdisjoint(mine.points)
        (again,) = await applier.sweep()
        assert (again.differing, again.repaired) == (0, 0)

    followed(settings, scenario)


def test_what_cannot_be_repaired_is_built_anew(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert("a", "b")
        await applier.turn()
        mine = engine.spaces_held[(await space(here)).name]
        # It thinks that it has something newer than there is.
        mine.seqs[0], mine.points[0] = 99, replace(mine.points[0], seq=99)
        (drift,) = await applier.sweep()
        assert not drift.is_repaired
        assert await held(here, engine, epoch=1) == {"a": 1, "b": 2}
        assert await engine.spaces() == [(await space(here, epoch=1)).name]

    followed(settings, scenario)


def test_what_changes_while_it_compares_is_not_taken_for_drift(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert(*(f"v{number}" for number in range(50)))
        await applier.turn()
        digest = engine.digest

        async def later(space: Space) -> object:
            await here.upsert("v1", "new", value=3.0)
            await here.vectors.delete(here.ada, "papers", ["v2"])
            return await digest(space)

        engine.digest = later  # type: ignore[method-assign, assignment]
        (drift,) = await applier.sweep()
        assert (drift.repaired, drift.is_repaired) == (0, True)
        engine.digest = digest  # type: ignore[method-assign]
        await applier.turn()
        (drift,) = await applier.sweep()
        assert drift.differing == 0
        found = await held(here, engine)
        assert found["v1"] == 51 and found["new"] == 52 and "v2" not in found

    followed(settings, scenario)


def test_spaces_of_no_collection_are_dropped_and_those_of_others_are_not(settings: Settings) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await create(here, here.bob)
        await here.upsert("a")
        await applier.turn()
        await here.collections.delete(here.ada, "papers")
        await applier.sweep()
        theirs = space_of(await here.collections.find(here.bob, "papers"), 0)
        assert await engine.spaces() == [theirs.name]

    followed(settings, scenario)


@given(st.dictionaries(st.integers(0, 2**62), st.integers(0, 2**62), max_size=50))
def test_the_records_digest_is_the_engines(versions: dict[int, int]) -> None:
    buckets = [0] * 256
    for number, seq in versions.items():
        buckets[number % 256] ^= fingerprint(number, seq)
    numbers, seqs = np.array(list(versions), np.int64), np.array(list(versions.values()), np.int64)
    assert digest_of(numbers, seqs).tolist() == buckets
