"""One engine with all that keeps it right: it is opened when a collection asks for it, filled, compared and saved."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from shared.errors import NotFound, SutazaiError, Unavailable
from shared.ports.signals import Signals
from shared.ports.vector_engine import Backend, EngineHealth, Hits, SnapshottingEngine, VectorEngine, Wanted
from shared.ports.vector_service import EngineState
from shared.ports.vectors import Kept, Truth
from shared.vectors.applying import Applier, space_of
from shared.vectors.places import OwnPlaces, Places, SharedPlaces
from shared.vectors.reconcile import Drift
from shared.vectors.serving.ejection import Ejection
from shared.vectors.serving.engines import Engines
from shared.vectors.serving.saving import Saver

logger = logging.getLogger("sutazai.vectors")

SWEEP_S = 300.0
POLL_S = 1.0
# So many changes behind, an engine is asked after those that are not.
LATE = 1000
_AGAIN_S = 2.0
_HEALTH_S = 1.0
_FAILURES = 3
_EJECTED_S = 2.0


class Station:
    """Runs by itself, so that one which is away holds up no other."""

    def __init__(self, backend: Backend, *, engines: Engines, truth: Truth, signals: Signals) -> None:
        self.backend = backend
        self.ejection = Ejection(most=_FAILURES, ejected_s=_EJECTED_S)
        self._engines = engines
        self._truth = truth
        self._signals = signals
        self._engine: VectorEngine | None = None
        self._places: Places | None = None
        self._applier: Applier | None = None
        self._saver: Saver | None = None
        self._detail = "it is not open yet"
        self._is_wanted: bool | None = None
        self._has_leftovers: bool | None = None
        # Once the record has said whether it is.
        self.is_known = asyncio.Event()
        self._leads = False
        self._drifts: Sequence[Drift] = ()
        self._swept_at: float | None = None
        # Once it is where the record was at the start, or others need not wait for it.
        self.settled = asyncio.Event()

    @property
    def is_late(self) -> bool:
        """Not yet where the record was when this process started."""
        return self._applier is None or not self._applier.is_caught_up

    def applied_seq(self, collection_id: UUID) -> int:
        """As far as is known here, and -1 where it holds nothing of it."""
        place = self._places.known.get(collection_id) if self._places else None
        return -1 if place is None else place.applied_seq

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            try:
                await self._until_wanted()
                engine = await self._engines.open(self.backend)
                await self._kept(engine)
            except* (Unavailable, TimeoutError) as errors:
                self._fail(errors.exceptions[0])
            except* Exception as errors:
                logger.exception("%s failed", self.backend)
                self._fail(errors.exceptions[0])
            await asyncio.sleep(_AGAIN_S)

    async def search(self, collection: Kept, wanted: Wanted) -> Hits:
        """Raises Unavailable, and NotFound where it does not hold the collection, or not again yet."""
        if self._engine is None or self._places is None:
            raise Unavailable(f"{self.backend}: {self._detail}")
        known = self._places.known.get(collection.id)
        if known is None:
            raise NotFound(f"{self.backend} does not hold {collection.id} yet")
        try:
            hits = await self._engine.search(space_of(collection, known.epoch), wanted)
            if hits.applied_seq < known.applied_seq:
                raise NotFound(f"{self.backend} is being filled with {collection.id}")
        except NotFound:
            await self._look_again(collection, known.epoch)
            raise
        return hits

    async def reached(self, collection: Kept, seq: int) -> None:
        """Returns as soon as it is as far; whoever waits bounds it."""
        while self.applied_seq(collection.id) < seq:
            is_told = self._leads or not isinstance(self._places, SharedPlaces)
            await asyncio.sleep(0.005 if is_told else 0.05)
            # What this process has alone is told here, and read once: by whoever opens it.
            if isinstance(self._places, SharedPlaces) and not is_told:
                with contextlib.suppress(Unavailable):
                    await self._places.progress()

    async def sweep(self) -> Sequence[Drift]:
        """Compares and repairs now. Raises Unavailable; nothing happens where another process fills the engine."""
        if self._applier is None or not self._leads:
            return ()
        try:
            await self._applier.sweep()
            self._swept_at = time.time()
        finally:
            self._drifts = self._applier.drifts
            for drift in self._drifts:
                if drift.repaired and self._saver is not None:
                    self._saver.mended(drift.space.collection_id)
        return self._drifts

    async def save(self) -> None:
        if self._saver is not None:
            await self._saver.save(is_last=True)

    async def state(self) -> EngineState:
        health = await self._health()
        return EngineState(
            backend=self.backend,
            status=health.status,
            detail=health.detail,
            spaces=len(self._places.known) if self._places else 0,
            lag_seq=self._lag(),
            drifted=sum(1 for drift in self._drifts if drift.differing),
            repaired=sum(drift.repaired for drift in self._drifts),
            swept_at=self._swept_at,
        )

    def _lag(self) -> int:
        collections = self._applier.collections if self._applier else ()
        return sum(max(0, one.seq - max(0, self.applied_seq(one.id))) for one in collections)

    async def _health(self) -> EngineHealth:
        if self._engine is None:
            if self._is_wanted is False:
                return EngineHealth(status="ok", detail=self._detail)
            return EngineHealth(status="degraded" if self._is_wanted is None else "down", detail=self._detail)
        try:
            async with asyncio.timeout(_HEALTH_S):
                health = await self._engine.health()
        except (SutazaiError, TimeoutError):
            return EngineHealth(status="down", detail="it does not answer")
        if health.status == "ok" and (self.ejection.lasts or self.is_late or self._lag() > LATE):
            return EngineHealth(status="degraded", detail=health.detail or "it is behind the record")
        return health

    def _fail(self, error: BaseException) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        self._detail = str(error)[:200] or type(error).__name__
        if self._is_wanted:
            self.settled.set()
        logger.warning("%s is not followed up now: %s", self.backend, self._detail)

    async def _until_wanted(self) -> None:
        async with self._hinted() as hinted:
            while not await self._is_used() and self._engine is None:
                self.is_known.set()
                self._is_wanted, self._detail = False, "no collection uses it"
                self.settled.set()
                if await self._is_left_with_some():
                    # For its sweep alone: nobody waits for it, or misses it.
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await hinted.wait()
                hinted.clear()
        self._is_wanted = True
        self.is_known.set()

    async def _is_left_with_some(self) -> bool:
        """Of collections that are gone. Looked for until that is known: nothing comes to an engine that is not open."""
        if self._has_leftovers is None:
            try:
                self._has_leftovers = await self._engines.leftovers(self.backend)
            except (SutazaiError, TimeoutError) as exc:
                self._detail = f"no collection uses it, and what is left in it is not known: {exc}"
        return bool(self._has_leftovers)

    async def _is_used(self) -> bool:
        return any(self.backend in one.backends for one in await self._truth.collections())

    @contextlib.asynccontextmanager
    async def _hinted(self) -> AsyncIterator[asyncio.Event]:
        hinted = asyncio.Event()
        async with self._signals.listening("vectors", lambda _: hinted.set()):
            yield hinted

    async def _kept(self, engine: VectorEngine) -> None:
        is_shared = self._engines.is_shared(self.backend)
        if self._places is None:
            self._places = SharedPlaces(self.backend, self._truth) if is_shared else OwnPlaces(engine, self._truth)
        # Of an engine of this process: what its disk holds, or its snapshots.
        await self._places.progress()
        if self._applier is None:
            self._applier = Applier(engine, truth=self._truth, signals=self._signals, places=self._places)
            if isinstance(engine, SnapshottingEngine):
                self._saver = Saver(engine, self._applier, self._places)
        self._engine, self._detail = engine, ""
        async with asyncio.TaskGroup() as group:
            if is_shared:
                group.create_task(self._watched())
                group.create_task(self._led())
            else:
                group.create_task(self._followed())
            if self._saver is not None:
                group.create_task(self._saver.run())

    async def _led(self) -> None:
        """One of the processes that share a server fills it, and another one as soon as that is gone."""
        while True:
            with contextlib.suppress(Unavailable):
                async with self._truth.active(self.backend):
                    await self._followed()
            await asyncio.sleep(_AGAIN_S)

    async def _followed(self) -> None:
        assert self._applier is not None
        self._leads = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._applier.run())
                group.create_task(self._swept())
                group.create_task(self._settle(self._applier))
        finally:
            self._leads = False

    async def _settle(self, applier: Applier) -> None:
        await applier.turned.wait()
        self.settled.set()

    async def _swept(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            # One collection that is not compared keeps no other from forgetting.
            for work in (self.sweep, self._truth.trim):
                try:
                    await work()
                except (SutazaiError, TimeoutError) as exc:
                    logger.warning("%s is not compared now: %s", self.backend, exc)

    async def _watched(self) -> None:
        """How far whoever fills it is: this process searches it too."""
        assert self._places is not None and self._applier is not None
        async with self._hinted() as hinted:
            while True:
                with contextlib.suppress(Unavailable):
                    await self._places.progress()
                    if not self._leads:
                        await self._applier.look()
                        self.settled.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await hinted.wait()
                hinted.clear()

    async def _look_again(self, collection: Kept, epoch: int) -> None:
        """Another process may have moved it to its next epoch; else it is lost."""
        assert self._places is not None and self._applier is not None
        if isinstance(self._places, SharedPlaces):
            with contextlib.suppress(Unavailable):
                now = (await self._places.progress()).get(collection.id)
                if now is not None and now.epoch != epoch:
                    return
        self._applier.suspect(collection.id)
