"""Carries the record's changes into one engine, collection by collection."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from uuid import UUID

from shared.errors import NotFound, SutazaiError, Unavailable
from shared.ports.signals import Signals
from shared.ports.vector_engine import Space, VectorEngine
from shared.ports.vectors import Kept, Progress, Truth
from shared.vectors.places import Places, SharedPlaces, space_named
from shared.vectors.reconcile import Drift, reconciled

logger = logging.getLogger("sutazai.vectors")

BATCH = 1000
POLL_S = 1.0
TURN_S = 300.0


class Applier:
    """One for each engine, so that one which is away holds up no other. Turns of a collection never overlap."""

    def __init__(self, engine: VectorEngine, *, truth: Truth, signals: Signals, places: Places | None = None) -> None:
        self._engine = engine
        self._truth = truth
        self._signals = signals
        self._places = places or SharedPlaces(engine.backend, truth)
        self._suspects: set[UUID] = set()
        # Of the last turn.
        self.collections: list[Kept] = []
        self.is_caught_up = False
        # Once it has been tried, also in vain.
        self.turned = asyncio.Event()
        self._changed = asyncio.Event()
        self._turns = asyncio.Lock()

    async def run(self) -> None:
        """Until it is cancelled: at each hint, and every second, since hints are lost now and then."""
        async with self._signals.listening("vectors", lambda _: self._changed.set()):
            while True:
                self._changed.clear()
                try:
                    async with asyncio.timeout(TURN_S):
                        await self.turn()
                except (Unavailable, TimeoutError) as exc:
                    logger.warning("%s is not followed up now: %s", self._engine.backend, exc)
                self.turned.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._changed.wait()

    async def look(self) -> None:
        """At what there is to do, for one who leaves it to another process. Raises Unavailable."""
        self.collections = await self._kept()
        self.is_caught_up = True

    async def turn(self) -> None:
        """Brings every collection up to the record. Raises Unavailable."""
        async with self._turns:
            progress = await self._places.progress()
            self.collections = await self._kept()
            for collection in self.collections:
                if self._is_behind(collection, progress):
                    await self._told(collection, progress)
                self._suspects.discard(collection.id)
            self.is_caught_up = True

    def suspect(self, collection_id: UUID) -> None:
        """The engine seems to have lost it: the next turn, which is now, asks the engine itself how far it is."""
        self._suspects.add(collection_id)
        self._changed.set()

    async def sweep(self) -> list[Drift]:
        """Compares every collection with the record and repairs it; drops what no collection has any more."""
        drifts = []
        for collection in await self._kept():
            # One at a time, so that the others are followed up meanwhile.
            async with self._turns:
                try:
                    drifts.append(await self._compared(collection))
                except Unavailable:
                    raise
                except SutazaiError:
                    logger.exception("%s cannot be compared in %s", collection.id, self._engine.backend)
        async with self._turns:
            await self._drop_orphans()
        return drifts

    async def _kept(self) -> list[Kept]:
        return [one for one in await self._truth.collections() if self._engine.backend in one.backends]

    async def _compared(self, collection: Kept) -> Drift:
        progress = await self._places.progress()
        space = await self._brought_up(collection, progress.get(collection.id))
        drift = await reconciled(self._engine, self._truth, space)
        if not drift.is_repaired:
            await self._rebuilt(collection, space.epoch + 1)
        return drift

    def _is_behind(self, collection: Kept, progress: Mapping[UUID, Progress]) -> bool:
        noted = progress.get(collection.id)
        is_suspect = collection.id in self._suspects
        return is_suspect or noted is None or noted.error is not None or noted.applied_seq != collection.seq

    async def _told(self, collection: Kept, progress: Mapping[UUID, Progress]) -> None:
        """One collection that an engine refuses keeps none of the others waiting."""
        noted = progress.get(collection.id)
        try:
            await self._brought_up(collection, noted)
        except Unavailable as exc:
            await self._note_error(collection, noted, exc)
            raise
        except SutazaiError as exc:
            logger.exception("%s refuses %s", self._engine.backend, collection.id)
            await self._note_error(collection, noted, exc)

    async def _note_error(self, collection: Kept, noted: Progress | None, error: SutazaiError) -> None:
        space = space_of(collection, noted.epoch if noted else 0)
        applied = noted.applied_seq if noted else 0
        await self._places.note(space, applied_seq=applied, error=error.message[:500])

    async def _brought_up(self, collection: Kept, noted: Progress | None) -> Space:
        space = space_of(collection, noted.epoch if noted else 0)
        try:
            applied = await self._engine.applied_seq(space)
        except NotFound:
            await self._engine.ensure(space)
            applied = 0
        # Between the two lie deletions that nobody can tell it of.
        is_lost = 0 < applied < collection.trimmed_seq
        if is_lost or (applied > collection.seq and await self._is_ahead(collection, applied)):
            return await self._rebuilt(collection, space.epoch + 1)
        return await self._filled(collection, space, applied)

    async def _is_ahead(self, collection: Kept, applied: int) -> bool:
        """The record has gone back to what it was once, and will give the same numbers to other changes."""
        return any(one.id == collection.id and applied > one.seq for one in await self._truth.collections())

    async def _rebuilt(self, collection: Kept, epoch: int) -> Space:
        """Beside the old one, which answers until this one is whole."""
        space = space_of(collection, epoch)
        await self._engine.drop(space)
        await self._engine.ensure(space)
        return await self._filled(collection, space, 0)

    async def _filled(self, collection: Kept, space: Space, applied: int) -> Space:
        while applied < collection.seq:
            points = await self._truth.since(collection.id, applied, limit=BATCH)
            # Fewer than asked for: there was nothing else when the collection was looked at.
            last = points[-1].seq if len(points) == BATCH else max(collection.seq, points[-1].seq if points else 0)
            await self._engine.apply(space, points, upto_seq=last)
            applied = last
        await self._places.note(space, applied_seq=applied)
        return space

    async def _drop_orphans(self) -> None:
        """Also epochs before the present one. Later ones may be another replica's, or are dropped before their turn."""
        held = [space for name in await self._engine.spaces() if (space := space_named(name)) is not None]
        # Asked after that: what is held of a collection which is not there now is nobody's.
        progress = await self._places.progress()
        kept = {one.id for one in await self._kept()}
        for space in held:
            present = progress.get(space.collection_id)
            if space.collection_id not in kept or (present and space.epoch < present.epoch):
                await self._engine.drop(space)
        for gone in progress.keys() - kept:
            self._places.forget(gone)


def space_of(collection: Kept, epoch: int) -> Space:
    return Space(collection_id=collection.id, epoch=epoch, dimension=collection.dimension, metric=collection.metric)
