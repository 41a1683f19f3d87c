"""What runs tasks beside a served agent: a keeper, and a worker that follows its wake-ups."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from functions.keeper.keep import keep
from shared import catalog
from shared.config import Settings
from shared.ports.bus import Bus
from shared.ports.signals import Signals
from shared.ports.upkeep import Upkeep
from shared.wiring import Ports
from shared.worker import Worker

_CACHED = (catalog.modules, catalog.all_functions, catalog.agent_names)


@pytest.fixture
def fixtures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """With the tools that the conformance suite asks for."""
    monkeypatch.setenv("SUTAZAI_MCP_FIXTURES", "1")
    for cached in _CACHED:
        cached.cache_clear()
    yield
    for cached in _CACHED:
        cached.cache_clear()


@asynccontextmanager
async def keeping(settings: Settings) -> AsyncIterator[None]:
    async with Ports(settings) as ports:
        upkeep, bus, signals = await ports.open(Upkeep), await ports.open(Bus), await ports.open(Signals)
        keeper = asyncio.create_task(keep(upkeep=upkeep, bus=bus, signals=signals))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


@asynccontextmanager
async def working(settings: Settings, agent: str = "everything") -> AsyncIterator[Worker]:
    async with Ports(settings) as ports, Worker(catalog.actions_of(agent), ports=ports) as worker:
        bus, woken = await ports.open(Bus), asyncio.Event()
        woken.set()
        async with bus.waking([agent], lambda _: woken.set()):
            following = asyncio.create_task(worker.follow(agent, woken))
            try:
                yield worker
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
