"""The one always-on function: wakes agents and makes up for whatever was lost. One is active, others stand by."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from shared.errors import Unavailable
from shared.function import Scale, service
from shared.ports.bus import Bus, WakeUp
from shared.ports.signals import Signals
from shared.ports.upkeep import Upkeep

logger = logging.getLogger("sutazai.keeper")

MOST_WANTED = 32
# Live workers beat once a second: after an outage of the record they get the time to say so before any is buried.
GRACE = timedelta(seconds=3)
# Two turns further apart have an outage between them, or a machine that slept. Workers live through a shorter one.
MOST_APART = timedelta(seconds=1.5)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
REMIND_AFTER_S = 2.0


@service(scale=Scale(min=1, max=2))
async def keep(*, upkeep: Upkeep, bus: Bus, signals: Signals) -> None:
    """Runs until cancelled; when the record cannot be reached it starts over."""
    while True:
        try:
            async with upkeep.active():
                logger.info("this keeper is active")
                await _Keeper(upkeep, bus, signals).run()
        except Unavailable as exc:
            logger.warning("%s", exc)
            await asyncio.sleep(0.5)


class _Keeper:
    def __init__(self, upkeep: Upkeep, bus: Bus, signals: Signals) -> None:
        self._upkeep = upkeep
        self._bus = bus
        self._signals = signals
        self._wanted: Counter[str] = Counter()
        self._urgency: Counter[str] = Counter()
        self._noted = asyncio.Event()
        # At the start, what a keeper before may have left.
        self._behind = True
        self._away = False
        self._woken_at: dict[str, float] = {}
        self._turn_at = _LONG_AGO
        self._grace_from = _LONG_AGO

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wake())
            group.create_task(_every(1.0, self._remind))
            group.create_task(_every(0.25, self._make_due))
            group.create_task(_every(0.5, self._reap))
            group.create_task(_every(1.0, self._upkeep.expire))
            group.create_task(_every(0.1, self._number))
            group.create_task(_every(5.0, self._make_up))
            group.create_task(_every(1.0, self._upkeep.seal))

    def _note(self, agents: Sequence[str]) -> None:
        if agents:
            self._wanted.update(agents)
            self._noted.set()

    async def _wake(self) -> None:
        """One wake-up an agent and batch: what is accepted while the bus takes one batch makes up the next."""

        def hear(payload: str | None) -> None:
            if payload:
                agent, count, priority = payload.split(" ")
                self._wanted[agent] += int(count)
                self._urgency[agent] = max(self._urgency[agent], int(priority))
                self._noted.set()

        async with self._signals.listening("accepted", hear):
            while True:
                await self._noted.wait()
                self._noted.clear()
                wanted, self._wanted = self._wanted, Counter()
                urgency, self._urgency = self._urgency, Counter()
                self._woken_at.update(dict.fromkeys(wanted, time.monotonic()))
                await self._carried(
                    self._bus.wake(
                        [WakeUp(agent, min(count, MOST_WANTED), urgency[agent]) for agent, count in wanted.items()]
                    )
                )

    async def _remind(self) -> None:
        """Wakes again where tasks still wait: the last wake-up may have been lost."""
        late = time.monotonic() - REMIND_AFTER_S
        for wake_up in await self._upkeep.claimable():
            if self._woken_at.get(wake_up.agent, 0.0) < late:
                self._wanted[wake_up.agent] = wake_up.wanted
                self._noted.set()

    async def _make_due(self) -> None:
        self._note(await self._upkeep.make_due())

    async def _reap(self) -> None:
        at = await self._upkeep.clock()
        if abs(at - self._turn_at) > MOST_APART:
            self._grace_from = at
        self._turn_at = at
        if at - self._grace_from >= GRACE:
            # As of this turn: an outage that begins now may let it through before the first beat.
            self._note(await self._upkeep.reap(at))

    async def _number(self) -> None:
        if await self._upkeep.number() or self._behind:
            self._behind = not await self._carried(self._bus.relay())

    async def _make_up(self) -> None:
        await self._carried(self._bus.make_up())

    async def _carried(self, work: Awaitable[None]) -> bool:
        """False while the transport is away, which must stop nothing else: the record keeps all that it would carry."""
        try:
            await work
        except Unavailable as exc:
            if not self._away:
                logger.warning("%s; it is tried again", exc)
            self._away = True
            return False
        if self._away:
            logger.info("the transport is back")
        self._away = False
        return True


async def _every(seconds: float, work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await work()
        await asyncio.sleep(seconds)
