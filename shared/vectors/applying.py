"""Carries the record's changes into one engine, collection by collection."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar
from uuid import UUID

from shared.errors import NotFound, SutazaiError, Unavailable
from shared.ports.signals import Signals
from shared.ports.vector_engine import ForgettingEngine, Space, VectorEngine
from shared.ports.vectors import Kept, Progress, Truth
from shared.vectors.places import Places, SharedPlaces, space_named
from shared.vectors.reconcile import Drift, reconciled

logger = logging.getLogger("sutazai.vectors")

T = TypeVar("T")

BATCH = 1000
POLL_S = 1.0
TURN_S = 300.0
# After so long a collection makes way for the others, and goes on after them.
SHARE_S = 5.0
# When so many in a row fail, the engine is away as a whole.
_IN_A_ROW = 3


class Applier:
    """One for each engine, so that one which is away holds up no other. Turns of a collection never overlap."""

    def __init__(self, engine: VectorEngine, *, truth: Truth, signals: Signals, places: Places | None = None) -> None:
        self._engine = engine
        self._truth = truth
        self._signals = signals
        self._places = places or SharedPlaces(engine.backend, truth)
        self._suspects: set[UUID] = set()
        # By collection: the epoch that is being filled from nothing.
        self._begun: dict[UUID, int] = {}
        # Whose last attempt failed, the longest ago first.
        self._failed: dict[UUID, None] = {}
        # Of the last turn or sweep.
        self.collections: list[Kept] = []
        # Of the last sweep, also of one that failed somewhere.
        self.drifts: list[Drift] = []
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
        """Brings every collection up to the record. Raises Unavailable, once those that can be are."""
        while await self._round():
            pass
        self.is_caught_up = True

    def suspect(self, collection_id: UUID) -> None:
        """The engine seems to have lost it: the next turn, which is now, asks the engine itself how far it is."""
        self._suspects.add(collection_id)
        self._changed.set()

    async def sweep(self) -> list[Drift]:
        """Compares every collection with the record and repairs it; drops what no collection has any more.

        Raises Unavailable, once that is done of those that can be reached.
        """
        compared, failure = await self._each((one.id, partial(self._compared, one)) for one in await self._kept())
        self.drifts = [drift for drift in compared if drift is not None]
        async with self._turns:
            failure = await self._drop_orphans() or failure
        if failure is not None:
            raise failure
        return self.drifts

    async def _kept(self) -> list[Kept]:
        return [one for one in await self._truth.collections() if self._engine.backend in one.backends]

    async def _round(self) -> bool:
        """Whether some have made way for others, and are not whole yet. Raises Unavailable."""
        async with self._turns:
            progress = await self._places.progress()
            self.collections = await self._kept()
            behind = [one for one in self.collections if self._is_behind(one, progress)]
            told, failure = await self._each((one.id, partial(self._told, one, progress)) for one in behind)
        if failure is not None:
            raise failure
        return not all(told)

    async def _each(
        self, works: Iterable[tuple[UUID, Callable[[], Awaitable[T]]]]
    ) -> tuple[list[T], Unavailable | None]:
        """What each collection's work gives, and the first failure. Those that failed before come last: however many
        they are, nobody waits behind them, and each has its turn among them."""
        places = {failed: place for place, failed in enumerate(self._failed, 1)}
        found: list[T] = []
        failure: Unavailable | None = None
        in_a_row = 0
        for collection_id, work in sorted(works, key=lambda one: places.get(one[0], 0)):
            try:
                found.append(await work())
            except Unavailable as exc:
                failure = failure or exc
                self._failed.pop(collection_id, None)
                self._failed[collection_id] = None
                in_a_row += 1
                if in_a_row == _IN_A_ROW:
                    break
            else:
                self._failed.pop(collection_id, None)
                in_a_row = 0
        return found, failure

    async def _compared(self, collection: Kept) -> Drift | None:
        """None where it is being filled, or refused. Raises Unavailable."""
        # One at a time, so that the others are followed up meanwhile.
        async with self._turns:
            try:
                progress = await self._places.progress()
                space = await self._brought_up(collection, progress.get(collection.id))
                if space is None:
                    return None
                if isinstance(self._engine, ForgettingEngine):
                    await self._engine.forget(space, upto_seq=collection.trimmed_seq)
                drift = await reconciled(self._engine, self._truth, space)
                if not drift.is_repaired:
                    await self._rebuilt(collection, space.epoch + 1)
                return drift
            except Unavailable:
                raise
            except SutazaiError:
                logger.exception("%s cannot be compared in %s", collection.id, self._engine.backend)
                return None

    def _is_behind(self, collection: Kept, progress: Mapping[UUID, Progress]) -> bool:
        noted = progress.get(collection.id)
        if collection.id in self._suspects or collection.id in self._begun:
            return True
        return noted is None or noted.error is not None or noted.applied_seq != collection.seq

    async def _told(self, collection: Kept, progress: Mapping[UUID, Progress]) -> bool:
        """Whether it needs no more of this turn. One that an engine refuses does not. Raises Unavailable."""
        noted = progress.get(collection.id)
        is_done = True
        try:
            is_done = await self._brought_up(collection, noted) is not None
        except Unavailable as exc:
            await self._note_error(collection, noted, exc)
            raise
        except SutazaiError as exc:
            logger.exception("%s refuses %s", self._engine.backend, collection.id)
            await self._note_error(collection, noted, exc)
        if is_done:
            self._suspects.discard(collection.id)
        return is_done

    async def _note_error(self, collection: Kept, noted: Progress | None, error: SutazaiError) -> None:
        space = space_of(collection, noted.epoch if noted else 0)
        applied = noted.applied_seq if noted else 0
        await self._places.note(space, applied_seq=applied, error=error.message[:500])

    async def _brought_up(self, collection: Kept, noted: Progress | None) -> Space | None:
        """As `_filled`. What was begun is gone on with, unless another process is further."""
        space = space_of(collection, max(noted.epoch if noted else 0, self._begun.get(collection.id, 0)))
        try:
            applied = await self._engine.applied_seq(space)
        except NotFound:
            await self._engine.ensure(space)
            applied = 0
        if not applied:
            self._begun[collection.id] = space.epoch
        # Between the two lie deletions that nobody can tell it of, unless it never held what they delete.
        is_begun = self._begun.get(collection.id) == space.epoch
        is_lost = not is_begun and applied < collection.trimmed_seq
        if is_lost or (applied > collection.seq and await self._is_ahead(collection, applied)):
            return await self._rebuilt(collection, space.epoch + 1)
        return await self._filled(collection, space, applied)

    async def _is_ahead(self, collection: Kept, applied: int) -> bool:
        """The record has gone back to what it was once, and will give the same numbers to other changes."""
        return any(one.id == collection.id and applied > one.seq for one in await self._truth.collections())

    async def _rebuilt(self, collection: Kept, epoch: int) -> Space | None:
        """Beside the old one, which answers until this one is whole."""
        space = space_of(collection, epoch)
        await self._engine.drop(space)
        await self._engine.ensure(space)
        self._begun[collection.id] = epoch
        return await self._filled(collection, space, 0)

    async def _filled(self, collection: Kept, space: Space, applied: int) -> Space | None:
        """None where its share of the time was not enough: the engine remembers where to go on."""
        ends_at = time.monotonic() + SHARE_S
        while applied < collection.seq:
            points = await self._truth.since(collection.id, applied, limit=BATCH)
            # Fewer than asked for: there was nothing else when the collection was looked at.
            last = points[-1].seq if len(points) == BATCH else max(collection.seq, points[-1].seq if points else 0)
            await self._engine.apply(space, points, upto_seq=last)
            applied = last
            if applied < collection.seq and time.monotonic() >= ends_at:
                return None
        await self._places.note(space, applied_seq=applied)
        self._begun.pop(collection.id, None)
        return space

    async def _drop_orphans(self) -> Unavailable | None:
        """Also epochs before the present one. Later ones may be another replica's, or are dropped before their turn.

        Returns the first failure to drop one. Raises Unavailable.
        """
        held = [space for name in await self._engine.spaces() if (space := space_named(name)) is not None]
        # Asked after that: what is held of a collection which is not there now is nobody's.
        progress = await self._places.progress()
        self.collections = await self._kept()
        kept = {one.id for one in self.collections}
        orphans = [
            space
            for space in held
            if space.collection_id not in kept
            or ((present := progress.get(space.collection_id)) and space.epoch < present.epoch)
        ]
        _, failure = await self._each((space.collection_id, partial(self._dropped, space)) for space in orphans)
        for gone in (progress.keys() | self._begun.keys()) - kept:
            self._begun.pop(gone, None)
            self._places.forget(gone)
        return failure

    async def _dropped(self, space: Space) -> None:
        try:
            await self._engine.drop(space)
        except Unavailable:
            raise
        except SutazaiError:
            logger.exception("%s does not drop %s", self._engine.backend, space.name)


def space_of(collection: Kept, epoch: int) -> Space:
    return Space(collection_id=collection.id, epoch=epoch, dimension=collection.dimension, metric=collection.metric)
