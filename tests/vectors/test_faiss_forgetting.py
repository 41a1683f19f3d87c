"""Deletions that the record has forgotten are forgotten here too."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np

from shared.config import Settings
from shared.ports.vector_engine import Point
from shared.stores.faiss.engine import FaissEngine
from shared.stores.postgres.database import Database
from shared.vectors.applying import Applier, space_of
from shared.vectors.places import OwnPlaces
from shared.wiring import Ports
from tests.vectors import served
from tests.vectors.faiss_data import new_space, opened, play, points_of
from tests.vectors.served import Record


def test_what_was_deleted_later_is_still_remembered_also_after_a_restart(tmp_path: Path) -> None:
    space = new_space(3)
    points = points_of(np.ones((4, 3), np.float32))
    gone = [Point(number=n, vector_id=f"v{n}", seq=10 + n, vector=None) for n in range(4)]

    async def write(engine: FaissEngine) -> None:
        await engine.ensure(space)
        await engine.apply(space, [*points, *gone], upto_seq=13)
        await engine.forget(space, upto_seq=11)
        # Again, and less.
        await engine.forget(space, upto_seq=10)
        assert await engine.snapshot(space) == 13

    async def read(engine: FaissEngine) -> None:
        await engine.restore(space)
        assert await engine.count(space) == 0
        await engine.apply(space, points, upto_seq=13)
        assert [point.number for point in await engine.scroll(space)] == [0, 1]

    play(tmp_path, write)
    play(tmp_path, read)


def test_what_changes_meanwhile_is_not_lost(tmp_path: Path) -> None:
    space = new_space(3)
    points = points_of(np.ones((200, 3), np.float32))

    async def scenario(engine: FaissEngine) -> None:
        await engine.ensure(space)
        await engine.apply(space, [replace(one, vector=None) for one in points], upto_seq=200)
        await asyncio.gather(
            engine.forget(space, upto_seq=100),
            engine.apply(space, [replace(points[0], seq=300, vector=None)], upto_seq=300),
            engine.forget(space, upto_seq=150),
        )
        held = engine._held[space.name].deleted
        assert held == {0: 300, **{n: n + 1 for n in range(150, 200)}}

    play(tmp_path, scenario)


def test_a_sweep_forgets_what_the_record_has_forgotten(settings: Settings, tmp_path: Path) -> None:
    async def scenario(record: Record) -> None:
        kept = await record.create("faiss")
        await record.upsert(a=1, b=2, c=3)
        space = space_of(kept, 0)
        async with opened(tmp_path) as engine, Ports(settings) as ports:
            places = OwnPlaces(engine, record.truth)
            applier = Applier(engine, truth=record.truth, signals=record.signals, places=places)
            await record.vectors.delete(record.ada, "papers", ["a"])
            await applier.turn()
            database = await ports.open(Database)
            await database.execute("UPDATE vectors SET deleted_at = deleted_at - interval '25 hours'")
            await record.vectors.delete(record.ada, "papers", ["b"])
            await applier.turn()
            await applier.sweep()
            assert engine._held[space.name].deleted == {0: 4, 1: 5}
            await record.truth.trim()
            await applier.sweep()
            assert engine._held[space.name].deleted == {1: 5}
            assert [point.vector_id for point in await engine.scroll(space)] == ["c"]
            assert [drift.differing for drift in await applier.sweep()] == [0]

    served.play(settings, scenario)
