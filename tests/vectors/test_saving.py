"""Snapshots are written of what has changed much, in time of the rest, and of all of it at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.vector_engine import Space
from shared.ports.vectors import Progress
from shared.vectors.applying import Applier
from shared.vectors.serving.saving import Saver
from tests.vectors.oracle import Oracle
from tests.vectors.served import Record, play


class Saved(Oracle):
    """Remembers which seqs were saved."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[int] = []

    async def snapshot(self, space: Space) -> int:
        if self.is_down:
            raise Unavailable("nowhere to put it")
        self.saved.append(await self.applied_seq(space))
        return self.saved[-1]

    async def restore(self, space: Space) -> int:
        return 0


@dataclass
class Places:
    known: dict[UUID, Progress] = field(default_factory=dict)

    async def progress(self) -> Mapping[UUID, Progress]:
        return self.known

    async def note(self, space: Space, *, applied_seq: int, error: str | None = None) -> None:
        self.known[space.collection_id] = Progress(
            epoch=space.epoch, applied_seq=applied_seq, error=error, updated_at=datetime.now(UTC)
        )

    def forget(self, collection_id: UUID) -> None:
        self.known.pop(collection_id, None)


def test_a_snapshot_is_written_when_it_is_worth_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        engine, places = Saved(), Places()
        applier = Applier(engine, truth=record.truth, signals=record.signals, places=places)
        saver = Saver(engine, applier, places)

        async def saved(**values: float) -> list[int]:
            if values:
                await record.upsert(**values)
            await applier.turn()
            await saver.save()
            return engine.saved

        assert await saved(**{f"v{n}": n for n in range(100)}) == [100]
        assert await saved() == [100]
        # Less than a twentieth of it.
        assert await saved(v1=9) == [100]
        assert await saved(v2=9, v3=9, v4=9, v5=9, v6=9) == [100, 106]
        assert await saved(v7=9) == [100, 106]
        await saver.save(is_last=True)
        assert engine.saved == [100, 106, 107]
        await saver.save(is_last=True)
        assert engine.saved == [100, 106, 107]
        monkeypatch.setattr("shared.vectors.serving.saving._AFTER_S", 0.0)
        assert await saved(v8=9) == [100, 106, 107, 108]

    play(settings, scenario)


def test_what_cannot_be_written_now_is_written_the_next_time(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1)
        engine, places = Saved(), Places()
        applier = Applier(engine, truth=record.truth, signals=record.signals, places=places)
        saver = Saver(engine, applier, places)
        await applier.turn()
        places.known[uuid4()] = next(iter(places.known.values()))
        engine.is_down = True
        await saver.save()
        engine.is_down = False
        assert engine.saved == []
        await saver.save()
        assert engine.saved == [1]

    play(settings, scenario)
