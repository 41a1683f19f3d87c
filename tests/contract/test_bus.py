"""The suite of tests/contract/bus.py, on the bus over the record."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from events.base import Event
from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.bus import Bus
from shared.ports.upkeep import Upkeep
from shared.stores.postgres import bus as postgres_bus
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import record_event
from shared.wiring import Ports
from tests.contract.bus import *  # noqa: F403
from tests.contract.bus import OpenBus


@dataclass(frozen=True)
class _Replica:
    bus: Bus
    ports: Ports
    upkeep: Upkeep
    database: Database

    async def happen(self, *events: Event) -> None:
        """Again, like any client, where it was cut off."""
        while True:
            try:
                async with self.database.transaction() as connection:
                    for event in events:
                        await record_event(connection, event, source="/functions/ring", subject="bell", user_id=None)
                await self.upkeep.number()
                return await self.bus.relay()
            except Unavailable:
                await asyncio.sleep(0)

    async def dead_letters(self) -> list[dict[str, Any]]:
        columns = "reason, consumer, event, attempts, error"
        rows = await self.database.fetch(f"SELECT {columns} FROM dead_letters ORDER BY at")
        return [dict(row) for row in rows]

    async def cut(self) -> None:
        connection = await asyncpg.connect(self.database.url)
        try:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        finally:
            await connection.close()


@pytest.fixture
def open_bus(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> OpenBus:
    monkeypatch.setattr(postgres_bus, "_BACK_OFF_S", 0.01)
    monkeypatch.setattr(postgres_bus, "_POLL_S", 0.05)
    monkeypatch.setattr(postgres_bus, "_HOLD_S", 1.0)

    @asynccontextmanager
    async def opened() -> AsyncIterator[_Replica]:
        async with Ports(settings) as ports:
            database = await ports.open(Database)
            yield _Replica(await ports.open(Bus), ports, await ports.open(Upkeep), database)

    return opened
