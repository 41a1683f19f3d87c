"""Snapshots of an engine that lives in memory: of what has changed much, of what changed long ago, and at the end."""

import asyncio
import logging
import time
from uuid import UUID

from shared.errors import SutazaiError
from shared.ports.vector_engine import SnapshottingEngine
from shared.ports.vectors import Kept
from shared.vectors.applying import Applier, space_of
from shared.vectors.places import Places

logger = logging.getLogger("sutazai.vectors")

LOOK_S = 30.0
# A snapshot is written whole: a twentieth of it is worth that at once, less after a while.
_SHARE = 0.05
_AFTER_S = 600.0


class Saver:
    def __init__(self, engine: SnapshottingEngine, applier: Applier, places: Places) -> None:
        self._engine = engine
        self._applier = applier
        self._places = places
        # By collection: what its last snapshot holds everything up to, and when that was written.
        self._saved: dict[UUID, tuple[int, float]] = {
            collection: (place.applied_seq, time.monotonic()) for collection, place in places.known.items()
        }

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self.save()

    def mended(self, collection: UUID) -> None:
        """What was written last has the fault, though it is of the same seq."""
        self._saved.pop(collection, None)

    async def save(self, *, is_last: bool = False) -> None:
        """What is due; what cannot be written now is due again the next time."""
        for collection in list(self._applier.collections):
            try:
                if await self._is_due(collection, is_last=is_last):
                    space = space_of(collection, self._places.known[collection.id].epoch)
                    self._saved[collection.id] = (await self._engine.snapshot(space), time.monotonic())
            except SutazaiError as exc:
                logger.warning("no snapshot of %s is written now: %s", collection.id, exc)

    async def _is_due(self, collection: Kept, *, is_last: bool) -> bool:
        place = self._places.known.get(collection.id)
        saved, at = self._saved.get(collection.id, (0, float("-inf")))
        if place is None or place.applied_seq <= saved:
            return False
        space = space_of(collection, place.epoch)
        much = place.applied_seq - saved > _SHARE * await self._engine.count(space)
        return is_last or much or time.monotonic() > at + _AFTER_S
