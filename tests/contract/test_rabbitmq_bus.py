"""The suite of tests/contract/bus.py, on RabbitMQ."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from events.base import Event
from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.bus import Bus, WakeUp
from shared.ports.upkeep import Upkeep
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import record_event
from shared.stores.rabbitmq import bus as rabbitmq_bus
from shared.stores.rabbitmq import relay
from shared.wiring import Ports
from tests.contract.bus import *  # noqa: F403
from tests.contract.bus import OpenBus
from tests.rabbitmq import RabbitMQ


@dataclass(frozen=True)
class _Replica:
    bus: Bus
    ports: Ports
    upkeep: Upkeep
    database: Database
    broker: RabbitMQ

    async def happen(self, *events: Event) -> None:
        async with self.database.transaction() as connection:
            for event in events:
                await record_event(connection, event, source="/functions/ring", subject="bell", user_id=None)

    async def keep(self) -> None:
        """What the active keeper does, only more often."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.upkeep.number()
                await self.bus.relay()
                await self.bus.make_up()
            await asyncio.sleep(0.02)

    async def dead_letters(self) -> list[dict[str, Any]]:
        columns = "reason, consumer, event, attempts, error"
        rows = await self.database.fetch(f"SELECT {columns} FROM dead_letters ORDER BY at")
        return [dict(row) for row in rows]

    async def cut(self) -> None:
        closed = 'rabbit_networking:close_all_connections(<<"cut by a test">>).'
        await asyncio.to_thread(self.broker.evaluate, closed)


@pytest.fixture(params=["classic", "quorum"])
def open_bus(
    settings: Settings,
    broker: RabbitMQ,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> OpenBus:
    monkeypatch.setattr(rabbitmq_bus, "_BACK_OFF_S", 0.01)
    monkeypatch.setattr(rabbitmq_bus, "_RECONNECT_S", 0.05)
    monkeypatch.setattr(rabbitmq_bus, "DRAIN_S", 0.1)
    monkeypatch.setattr(relay, "STALLED_S", 0.2)

    keepers: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[_Replica]:
        async with Ports(replace(settings, amqp_url=amqp_url, amqp_profile=request.param)) as ports:
            database = await ports.open(Database)
            replica = _Replica(await ports.open(Bus), ports, await ports.open(Upkeep), database, broker)
            # Only one is active.
            keepers.extend([] if keepers else [asyncio.create_task(replica.keep())])
            try:
                yield replica
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)

    return opened


def test_whoever_serves_an_agent_looks_for_work_while_there_is_no_broker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_bus, "_RECONNECT_S", 0.01)

    async def scenario() -> None:
        heard: asyncio.Queue[WakeUp] = asyncio.Queue()
        async with Ports(replace(settings, amqp_url="amqp://127.0.0.1:1/")) as ports:
            bus = await ports.open(Bus)
            async with asyncio.timeout(30), bus.waking(["echo"], heard.put_nowait):
                assert [await heard.get() for _ in range(3)] == [WakeUp("echo", 1)] * 3

    asyncio.run(scenario())
