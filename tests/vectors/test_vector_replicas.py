"""Several processes of the vector service over one record: each fills what is its own, one of them what all share."""

from dataclasses import replace

from shared.config import Settings
from shared.ports.vector_engine import Point
from shared.ports.vectors import Truth
from shared.vectors.applying import Applier, space_of
from shared.vectors.places import OwnPlaces
from shared.vectors.serving.desk import Desk
from tests.vectors.oracle import Oracle
from tests.vectors.served import Fakes, Record, numbers, play, searches, until


async def caught_up(desk: Desk, record: Record) -> None:
    kept = await record.kept()

    async def there() -> bool:
        return all(desk.stations[backend].applied_seq(kept.id) == kept.seq for backend in kept.backends)

    await until(there)


def own(engine: Oracle, record: Record, truth: Truth | None = None) -> Applier:
    """Of an engine within a process."""
    places = OwnPlaces(engine, truth or record.truth)
    return Applier(engine, truth=record.truth, signals=record.signals, places=places)


async def held(engine: Oracle, record: Record, epoch: int = 0) -> dict[str, int]:
    points = await engine.scroll(space_of(await record.kept(), epoch))
    return {point.vector_id: point.seq for point in points}


def test_a_second_replica_and_one_that_begins_anew_are_filled_too(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2)
        one, other = Oracle("faiss"), Oracle("faiss")
        async with record.desk(Fakes(one)) as first, record.desk(Fakes(other)) as second:
            for desk in (first, second):
                assert numbers(await desk.search(searches(await record.kept()))) == [0, 1]
            written = await record.upsert(c=3)
            for desk in (first, second):
                found = await desk.search(searches(await record.kept(), min_seq=written.seq))
                assert (numbers(found), found.lag_seq) == ([0, 1, 2], 0)
        async with record.desk(Fakes(Oracle("faiss"))) as third:
            assert numbers(await third.search(searches(await record.kept()))) == [0, 1, 2]

    play(settings, scenario)


def test_what_one_replica_builds_anew_moves_no_other_and_nothing_goes_back_and_forth(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2)
        one, other = Oracle("faiss"), Oracle("faiss")
        first, second = own(one, record), own(other, record)
        await first.turn()
        await second.turn()
        kept = await record.kept()
        # As if it had been away for so long that deletions were forgotten.
        space = space_of(kept, 0)
        one.spaces_held[space.name].applied_seq = 1
        forgetful = replace(kept, trimmed_seq=2)
        await first._brought_up(forgetful, (await first._places.progress())[kept.id])
        written = len(one.applied), len(other.applied)
        for applier in (first, second, first, second):
            await applier.turn()
        assert (len(one.applied), len(other.applied)) == written
        assert (first._places.known[kept.id].epoch, second._places.known[kept.id].epoch) == (1, 0)
        assert (await record.truth.progress("faiss"))[kept.id].epoch == 0
        assert await held(one, record, 1) == await held(other, record, 0) == {"a": 1, "b": 2}
        await first.sweep()
        await second.sweep()
        assert (await one.spaces(), await other.spaces()) == ([space_of(kept, 1).name], [space.name])

    play(settings, scenario)


def test_after_a_restart_the_epoch_that_is_furthest_goes_on(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2, c=3)
        kept = await record.kept()
        engine = Oracle("faiss")
        points = await record.truth.since(kept.id, 0)
        for epoch, some in ((0, points[:2]), (1, points[:1])):
            await engine.ensure(space_of(kept, epoch))
            await engine.apply(space_of(kept, epoch), some, upto_seq=some[-1].seq)
        engine.spaces_held["elsewhere"] = engine.spaces_held[space_of(kept, 1).name]
        applier = own(engine, record)
        await applier.turn()
        assert await held(engine, record, 0) == {"a": 1, "b": 2, "c": 3}
        # Only what came after what it held already.
        assert engine.applied[2:] == [(space_of(kept, 0).name, 1)]
        await applier.sweep()
        assert set(await engine.spaces()) == {space_of(kept, 0).name, "elsewhere"}

    play(settings, scenario)


def test_an_engine_that_is_ahead_of_the_record_is_built_anew(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1)
        kept = await record.kept()
        engine = Oracle("faiss")
        await engine.ensure(space_of(kept, 0))
        # The record was brought back from before this was written.
        lost = [
            Point(number=n, vector_id=f"lost{n}", seq=n + 1, vector=(await record.truth.since(kept.id, 0))[0].vector)
            for n in range(5)
        ]
        await engine.apply(space_of(kept, 0), lost, upto_seq=5)
        applier = own(engine, record)
        await applier.turn()
        assert await held(engine, record, 1) == {"a": 1}
        await record.upsert(b=2)
        await applier.turn()
        assert await held(engine, record, 1) == {"a": 1, "b": 2}

    play(settings, scenario)


def test_one_of_them_fills_a_server_and_another_one_after_it(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("qdrant")
        await record.upsert(a=1)
        server = Oracle("qdrant")
        engines = Fakes(server, shared=["qdrant"])
        async with record.desk(engines) as second:
            async with record.desk(engines) as first:
                await caught_up(first, record)
                await caught_up(second, record)
                assert sorted(desk.stations["qdrant"]._leads for desk in (first, second)) == [False, True]
                assert [count for _, count in server.applied] == [1]
                written = await record.upsert(b=2)
                for desk in (first, second):
                    found = await desk.search(searches(await record.kept(), min_seq=written.seq))
                    assert numbers(found) == [0, 1]
                assert [count for _, count in server.applied] == [1, 1]
            written = await record.upsert(c=3)

            async def has_followed() -> bool:
                return second.stations["qdrant"].applied_seq((await record.kept()).id) == written.seq

            await until(has_followed)
            assert numbers(await second.search(searches(await record.kept()))) == [0, 1, 2]

    play(settings, scenario)


def test_a_sweep_mends_what_differs_and_says_how_much(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2, c=3)
        engine = Oracle("faiss")
        async with record.desk(Fakes(engine)) as desk:
            kept = await record.kept()
            (space,) = engine.spaces_held.values()
            del space.points[1], space.seqs[1]
            assert numbers(await desk.search(searches(kept))) == [0, 2]
            states = {state.backend: state for state in await desk.sweep()}
            assert (states["faiss"].drifted, states["faiss"].repaired, states["faiss"].lag_seq) == (1, 1, 0)
            assert states["faiss"].swept_at is not None and states["qdrant"].swept_at is None
            assert numbers(await desk.search(searches(kept))) == [0, 1, 2]
            await record.collections.delete(record.ada, "papers")
            states = {state.backend: state for state in await desk.sweep()}
            assert (engine.spaces_held, states["faiss"].spaces) == ({}, 0)

    play(settings, scenario)
