"""Functions that nobody calls over HTTP, run beside an app: services, and consumers of events."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from shared.consumer import Consumer
from shared.function import OnEvent, Service, Spec
from shared.ports.bus import Bus
from shared.wiring import Ports

logger = logging.getLogger("sutazai.background")


class Background:
    """Each runs until the end; one that fails is started again."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._services = [spec for spec in specs if isinstance(spec.trigger, Service)]
        self._consumers = [Consumer(spec) for spec in specs if isinstance(spec.trigger, OnEvent)]

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_kept(spec.name, partial(spec.handler, **await ports.of(spec))))
            for spec in self._services
        ]
        bus = await ports.open(Bus)
        for consumer in self._consumers:
            await consumer.open(ports)
            consume = partial(bus.consume, consumer.name, consumer.type, consumer.handle)
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
