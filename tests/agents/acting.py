"""For tests: an agent's actions, their ends as values, in as many places at once as a test likes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

from shared import strict_json
from shared.catalog import action
from shared.config import Settings
from shared.errors import Invalid
from shared.perform import RunContext, perform
from shared.ports.users import Registration, Users
from shared.stores.postgres.database import Database
from shared.wiring import Ports

T = TypeVar("T")


@dataclass(frozen=True)
class Said:
    """How a task ended: its result, or the code and message of its error."""

    result: Any = None
    error: str = ""
    message: str = ""


@dataclass(frozen=True)
class Replica:
    """One process that serves an agent, with a pool of connections of its own."""

    agent: str
    ports: Ports

    async def act(self, user: UUID, tool: str, *, execution: UUID | None = None, **parameters: Any) -> Said:
        spec = action(self.agent, tool)
        try:
            # What a caller sends has come through here.
            sent = strict_json.parse(strict_json.dump(parameters))
        except Invalid as refused:
            return Said(error=refused.code, message=refused.message)
        assert isinstance(sent, dict)
        outcome = await perform(
            spec,
            sent,
            run=RunContext(user, execution or uuid4(), 1),
            ports=await self.ports.of(spec),
            timeout_s=spec.timeout_s,
            attempts_left=False,
        )
        if outcome.error:
            return Said(error=outcome.error.code, message=outcome.error.message)
        return Said(outcome.result)

    async def user(self, name: str) -> UUID:
        users = await self.ports.open(Users)
        new = Registration(email=f"{name}@example.org", username=name, password_hash="x", roles=("user",))
        return (await users.register(new)).id

    async def database(self) -> Database:
        return await self.ports.open(Database)


@asynccontextmanager
async def replica(
    settings: Settings, agent: str, overrides: dict[type, object] | None = None
) -> AsyncIterator[Replica]:
    async with Ports(settings, overrides) as ports:
        yield Replica(agent, ports)


def playing(
    settings: Settings,
    agent: str,
    scenario: Callable[[Replica], Awaitable[T]],
    overrides: dict[type, object] | None = None,
) -> T:
    """Plays a scenario in one place, within a minute."""

    async def play() -> T:
        async with asyncio.timeout(60), replica(settings, agent, overrides) as here:
            return await scenario(here)

    return asyncio.run(play())


async def dump(database: Database, prefix: str) -> str:
    """All that the tables whose names begin so hold, bytes as text."""
    tables = await database.fetch("SELECT tablename FROM pg_tables WHERE tablename LIKE $1", f"{prefix}%")
    rows = [row for table in tables for row in await database.fetch(f"SELECT * FROM {table['tablename']}")]
    return "\n".join(_plain(value) for row in rows for value in row.values())


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
