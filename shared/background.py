"""Functions that nobody calls over HTTP, run beside an app: services, consumers, and what runs every so often."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from shared.consumer import Consumer
from shared.door import Door
from shared.function import Every, OnEvent, Service, Spec
from shared.ports.bus import Bus
from shared.ports.upkeep import Upkeep
from shared.wiring import Ports

logger = logging.getLogger("sutazai.background")


class Background:
    """Each runs until the end; one that fails is started again."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._services = [spec for spec in specs if isinstance(spec.trigger, Service)]
        self._recurring = [spec for spec in specs if isinstance(spec.trigger, Every)]
        consumed = [spec for spec in specs if isinstance(spec.trigger, OnEvent) and spec.trigger.event.carried]
        self._consumers = [Consumer(spec) for spec in consumed]

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        if any(Door in spec.ports.values() for spec in self._services):
            (await ports.open(Door)).shut()
        tasks = [
            asyncio.create_task(_kept(spec.name, partial(spec.handler, **await ports.of(spec))))
            for spec in self._services
        ]
        for spec in self._recurring:
            upkeep = await ports.open(Upkeep)
            run = partial(spec.handler, **await ports.of(spec))
            tasks.append(asyncio.create_task(_kept(spec.name, partial(_turn_by_turn, spec, run, upkeep))))
        for consumer in self._consumers:
            bus = await ports.open(Bus)
            await consumer.open(ports)
            consume = partial(bus.consume, consumer.name, consumer.type, consumer.handle_in_time)
            tasks.append(asyncio.create_task(_kept(consumer.name, consume)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _kept(name: str, run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:
            logger.exception("%s failed and is started again", name)
        await asyncio.sleep(1)


async def _turn_by_turn(spec: Spec, run: Callable[[], Awaitable[None]], upkeep: Upkeep) -> None:
    assert isinstance(spec.trigger, Every)
    while True:
        if await upkeep.take_turn(spec.deployed, spec.trigger.seconds):
            async with asyncio.timeout(spec.timeout_s):
                await run()
        # Looking four times a turn keeps its lateness small beside its length.
        await asyncio.sleep(min(max(spec.trigger.seconds / 4, 0.1), 30))
