"""One user's calls of an agent's tools, in one of several processes; what a task failed with is raised."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID, uuid4

from shared.catalog import action
from shared.config import Settings
from shared.perform import perform
from shared.ports.users import Registration, Users
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.fakes import FakeRun

T = TypeVar("T")


class Refused(Exception):
    """The code and message that a task failed with."""


@dataclass(frozen=True)
class Called:
    """`await called("tool", argument=...)` is its result."""

    agent: str
    ports: Ports
    user_id: UUID
    database: Database

    async def __call__(self, tool: str, /, *, execution_id: UUID | None = None, **arguments: Any) -> Any:
        spec = action(self.agent, tool)
        run, ports = FakeRun(user_id=self.user_id, execution_id=execution_id or uuid4()), await self.ports.of(spec)
        outcome = await perform(spec, arguments, run=run, ports=ports, timeout_s=spec.timeout_s, attempts_left=False)
        if outcome.error is not None:
            raise Refused(f"{outcome.error.code}: {outcome.error.message}")
        return outcome.result


@dataclass(frozen=True)
class Replica:
    """One process of the platform, for any user."""

    agent: str
    ports: Ports
    users: Users
    database: Database

    async def newcomer(self) -> Called:
        name = f"u{uuid4().hex[:20]}"
        new = Registration(email=f"{name}@example.org", username=name, password_hash="none", roles=("user",))
        return self.of((await self.users.register(new)).id)

    def of(self, user_id: UUID) -> Called:
        return Called(self.agent, self.ports, user_id, self.database)


@asynccontextmanager
async def replica(settings: Settings, agent: str) -> AsyncIterator[Replica]:
    async with Ports(settings) as ports:
        yield Replica(agent, ports, await ports.open(Users), await ports.open(Database))


def at(settings: Settings, agent: str, scenario: Callable[[Replica], Awaitable[T]]) -> T:
    """Plays a scenario in one process, within a minute."""

    async def play() -> T:
        async with asyncio.timeout(60), replica(settings, agent) as here:
            return await scenario(here)

    return asyncio.run(play())


def at_two(settings: Settings, agent: str, scenario: Callable[[Replica, Replica], Awaitable[T]]) -> T:
    """Plays a scenario in two processes, within a minute."""

    async def play() -> T:
        async with asyncio.timeout(60), replica(settings, agent) as one, replica(settings, agent) as other:
            return await scenario(one, other)

    return asyncio.run(play())
