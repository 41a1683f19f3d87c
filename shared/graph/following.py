"""Keeps an engine's copy of the graph at what the record says."""

import asyncio
import contextlib
import logging

from shared.errors import Conflict, NotFound, Unavailable
from shared.graph.reconcile import Drift, reconciled
from shared.ports.graph import Facts, Gathering, Generation, GraphEngine
from shared.ports.signals import Signals

logger = logging.getLogger("sutazai.graph")

BATCH = 500
POLL_S = 1.0
SWEEP_S = 600.0
_AGAIN_S = 0.5


class Follower:
    def __init__(self, *, facts: Facts, gathering: Gathering, engine: GraphEngine) -> None:
        self._facts = facts
        self._gathering = gathering
        self._engine = engine
        self._changed = asyncio.Event()
        self._turns = asyncio.Lock()
        self._prepared = False

    async def run(self, signals: Signals) -> None:
        """Until it is cancelled, or the record cannot be reached. That the engine is away delays only the engine."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._gather(signals))
            group.create_task(self._carry())
            group.create_task(self._sweep())

    async def rebuild(self) -> Generation:
        """All of the record into a new generation, beside the one that answers meanwhile."""
        await self._gathering.gather_all()
        async with self._turns:
            await self._prepare()
            return await self._anew()

    async def turn(self) -> Generation:
        """Brings the engine up to the record. Raises Unavailable."""
        async with self._turns:
            await self._prepare()
            try:
                return await self._brought_up()
            except (Conflict, NotFound):
                # Another generation has been put in its place meanwhile, or the engine has lost all.
                self._prepared = False
                await self._prepare()
                return await self._brought_up()

    async def sweep(self) -> Drift:
        """Compares the whole copy with the record, and repairs it."""
        async with self._turns:
            await self._prepare()
            at = await self._brought_up()
            drift = await reconciled(self._engine, self._facts, at)
            if not drift.is_repaired:
                await self._anew()
        return drift

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._engine.prepare()
            self._prepared = True

    async def _brought_up(self) -> Generation:
        live = await self._engine.live()
        # One that knows more than the record, which has been put back to an earlier day, cannot be told what is wrong.
        if live is None or live.applied_seq > await self._facts.newest():
            return await self._anew()
        return await self._filled(live)

    async def _anew(self) -> Generation:
        begun = await self._filled(await self._engine.begin())
        await self._engine.swap(begun.number)
        return begun

    async def _filled(self, at: Generation) -> Generation:
        while changes := await self._facts.since(at.applied_seq, limit=BATCH):
            upto = changes[-1].seq
            await self._engine.apply(at.number, changes, after_seq=at.applied_seq, upto_seq=upto)
            at = Generation(number=at.number, applied_seq=upto)
        return at

    async def _gather(self, signals: Signals) -> None:
        happened = asyncio.Event()
        async with signals.listening("events", lambda _: happened.set()):
            while True:
                happened.clear()
                while await self._gathering.gather():
                    self._changed.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await happened.wait()

    async def _carry(self) -> None:
        away = False
        while True:
            self._changed.clear()
            try:
                await self.turn()
            except (Unavailable, Conflict, NotFound) as exc:
                if not away:
                    logger.warning("%s is not followed up now: %s", self._engine.backend, exc.message)
                away = True
                await asyncio.sleep(_AGAIN_S)
                continue
            if away:
                logger.info("%s is followed up again", self._engine.backend)
            away = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._changed.wait()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            with contextlib.suppress(Unavailable, Conflict, NotFound):
                drift = await self.sweep()
                if drift.differing:
                    logger.warning("%s had drifted: %s", self._engine.backend, drift)
            await self._gathering.trim()
