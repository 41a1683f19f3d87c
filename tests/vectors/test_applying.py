"""Engines follow the record, whatever happens to them meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import Settings
from shared.errors import SutazaiError, Unavailable
from shared.ports.signals import Signals
from shared.ports.vector_engine import Point, Space, fingerprint
from shared.vectors.applying import Applier, space_of
from shared.vectors.reconcile import digest_of
from shared.wiring import Ports
from tests.vectors.oracle import Oracle
from tests.vectors.test_truth import Here, create, play


class Partly(Oracle):
    """Cannot reach what is among `lost`, and refuses what is among `refused`: names of spaces. Applies what
    `may_apply` lets it, and has by then set `is_asked`."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: set[str] = set()
        self.refused: set[str] = set()
        self.may_apply = asyncio.Semaphore(1000)
        self.is_asked = asyncio.Event()

    async def drop(self, space: Space) -> None:
        self._look(space)
        await super().drop(space)

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        if self.may_apply.locked():
            self.is_asked.set()
        await self.may_apply.acquire()
        await super().apply(space, points, upto_seq=upto_seq)

    async def applied_seq(self, space: Space) -> int:
        self._look(space)
        return await super().applied_seq(space)

    def _look(self, space: Space) -> None:
        if space.name in self.lost:
            raise Unavailable(f"{space.name} cannot be reached")
        if space.name in self.refused:
            raise SutazaiError(f"{space.name} is refused")


@asynccontextmanager
async def following(here: Here, settings: Settings, engine: Oracle) -> AsyncIterator[Applier]:
    async with Ports(settings) as ports:
        yield Applier(engine, truth=here.truth, signals=await ports.open(Signals))


def followed(settings: Settings, scenario: Callable[[Here, Oracle, Applier], Awaitable[None]]) -> None:
    by(Oracle(), settings, scenario)


def partly(settings: Settings, scenario: Callable[[Here, Partly, Applier], Awaitable[None]]) -> None:
    by(Partly(), settings, scenario)


E = TypeVar("E", bound=Oracle)


def by(engine: E, settings: Settings, scenario: Callable[[Here, E, Applier], Awaitable[None]]) -> None:
    async def whole(here: Here) -> None:
        async with following(here, settings, engine) as applier:
            await scenario(here, engine, applier)

    play(settings, whole)


async def several(here: Here, count: int) -> list[Space]:
    """Collections with one vector each, in the order in which they are followed up."""
    for number in range(1, count):
        await create(here, here.ada, f"papers-{number}")
    for name in ("papers", *(f"papers-{number}" for number in range(1, count))):
        await here.upsert("a", name=name)
    return [space_of(kept, 0) for kept in await here.truth.collections()]


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
        # Else the one that is gone, of which nothing is known any more, would count as lagging behind.
        assert [one.id for one in applier.collections] == [theirs.collection_id]

    followed(settings, scenario)


def test_a_collection_that_cannot_be_reached_keeps_none_behind_it_waiting(settings: Settings) -> None:
    async def scenario(here: Here, engine: Partly, applier: Applier) -> None:
        first, *others = await several(here, 4)
        engine.lost = {first.name}
        with pytest.raises(Unavailable, match=first.name):
            await applier.turn()
        assert set(engine.spaces_held) == {one.name for one in others}
        noted = await here.truth.progress("faiss")
        assert [noted[one.collection_id].applied_seq for one in (first, *others)] == [0, 1, 1, 1]
        assert not applier.is_caught_up
        engine.lost = set()
        await applier.turn()
        assert first.name in engine.spaces_held and applier.is_caught_up

    partly(settings, scenario)


def test_an_engine_that_is_away_is_given_up_and_what_failed_comes_last_the_next_time(settings: Settings) -> None:
    async def scenario(here: Here, engine: Partly, applier: Applier) -> None:
        spaces = await several(here, 7)
        engine.lost = {one.name for one in spaces[:5]}

        async def tried() -> list[int]:
            with pytest.raises(Unavailable):
                await applier.turn()
            return [number for number, one in enumerate(spaces) if one.collection_id in applier._failed]

        assert await tried() == [0, 1, 2]
        assert engine.spaces_held == {}
        assert await tried() == [0, 1, 2, 3, 4]
        engine.lost.discard(spaces[4].name)
        assert await tried() == [0, 1, 2, 3]
        # Each of the rest has its turn, however many they are.
        engine.lost.discard(spaces[3].name)
        await tried()
        assert await tried() == [0, 1, 2]
        assert set(engine.spaces_held) == {one.name for one in spaces[3:]}

    partly(settings, scenario)


def test_a_sweep_goes_on_behind_a_collection_that_cannot_be_reached(settings: Settings) -> None:
    async def scenario(here: Here, engine: Partly, applier: Applier) -> None:
        first, *others = await several(here, 3)
        await applier.turn()
        for space in others:
            engine.spaces_held[space.name].points.clear()
            engine.spaces_held[space.name].seqs.clear()
        orphans = [replace(first, collection_id=uuid4()) for _ in range(3)]
        for orphan in orphans:
            await engine.ensure(orphan)
        engine.lost, engine.refused = {first.name, orphans[0].name}, {orphans[1].name}
        with pytest.raises(Unavailable):
            await applier.sweep()
        assert [(drift.space, drift.repaired) for drift in applier.drifts] == [(space, 1) for space in others]
        assert orphans[2].name not in engine.spaces_held
        engine.lost, engine.refused = set(), set()
        await applier.sweep()
        assert set(engine.spaces_held) == {one.name for one in (first, *others)}

    partly(settings, scenario)


async def forgotten(here: Here, engine: Oracle, *, upto_seq: int) -> None:
    """The record has forgotten deletions that the engine never heard of: it has to begin anew."""
    engine.spaces_held[(await space(here)).name].applied_seq = 1
    await here.database.execute(
        "UPDATE vector_collections SET trimmed_seq = $1 WHERE user_id = $2 AND name = 'papers'", upto_seq, here.ada
    )


def test_what_is_built_anew_is_gone_on_with_when_a_turn_was_not_enough(settings: Settings) -> None:
    async def scenario(here: Here, engine: Partly, applier: Applier) -> None:
        await here.upsert(*(f"v{number}" for number in range(2500)))
        await applier.turn()
        await forgotten(here, engine, upto_seq=2300)
        engine.applied.clear()
        await here.upsert("new")
        engine.may_apply = asyncio.Semaphore(1)
        turn = asyncio.create_task(applier.turn())
        await engine.is_asked.wait()
        turn.cancel()
        await asyncio.gather(turn, return_exceptions=True)
        engine.may_apply = asyncio.Semaphore(1000)
        await applier.turn()
        new = (await space(here, epoch=1)).name
        assert engine.applied == [(new, 1000), (new, 1000), (new, 501)]
        assert await engine.count(await space(here, epoch=1)) == 2501
        await applier.turn()
        await applier.sweep()
        assert await engine.spaces() == [new]

    partly(settings, scenario)


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_collection_that_takes_long_makes_way_for_the_others(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    monkeypatch.setattr("shared.vectors.applying.SHARE_S", 0.0)

    async def scenario(here: Here, engine: Partly, applier: Applier) -> None:
        first = (await several(here, 2))[0]
        name = (await here.truth.collections())[0].name
        await here.upsert(*(f"v{number}" for number in range(2500)), name=name)
        epoch = 0
        if is_lost:
            # What it has is left behind, and what it is given anew is below what was forgotten for most of the time.
            await engine.ensure(first)
            await engine.apply(first, [], upto_seq=1)
            await here.database.execute(
                "UPDATE vector_collections SET trimmed_seq = 2400 WHERE id = $1", first.collection_id
            )
            epoch, engine.applied = 1, []
        await applier.turn()
        counts = [(of == replace(first, epoch=epoch).name, count) for of, count in engine.applied]
        assert counts == [(True, 1000), (False, 1), (True, 1000), (True, 501)]

    partly(settings, scenario)


def test_what_a_sweep_has_begun_to_build_is_finished_by_turns(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(here: Here, engine: Oracle, applier: Applier) -> None:
        await here.upsert(*(f"v{number}" for number in range(2500)))
        await applier.turn()
        monkeypatch.setattr("shared.vectors.applying.SHARE_S", 0.0)
        mine = engine.spaces_held[(await space(here)).name]
        mine.seqs[0], mine.points[0] = 9999, replace(mine.points[0], seq=9999)
        await applier.sweep()
        progress = await here.truth.progress("faiss")
        kept = await here.collections.find(here.ada, "papers")
        assert (progress[kept.id].epoch, await engine.count(space_of(kept, 1))) == (0, 1000)
        # Which is none of a collection's drifts.
        assert await applier.sweep() == []
        await applier.turn()
        assert (await here.truth.progress("faiss"))[kept.id].epoch == 1
        assert await engine.count(space_of(kept, 1)) == 2500

    followed(settings, scenario)


@given(st.dictionaries(st.integers(0, 2**62), st.integers(0, 2**62), max_size=50))
def test_the_records_digest_is_the_engines(versions: dict[int, int]) -> None:
    buckets = [0] * 256
    for number, seq in versions.items():
        buckets[number % 256] ^= fingerprint(number, seq)
    numbers, seqs = np.array(list(versions), np.int64), np.array(list(versions.values()), np.int64)
    assert digest_of(numbers, seqs).tolist() == buckets
