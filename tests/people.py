"""For tests: a place with its ports open, and people who register and log in there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from functions.auth.login import LoggedIn, Login, login
from functions.auth.register import Register, Registered, register
from shared.config import Settings
from shared.function import Call, Caller
from shared.identity import authenticate
from shared.ports.passwords import Passwords
from shared.ports.sessions import Sessions
from shared.ports.throttle import Throttle
from shared.ports.tokens import Tokens
from shared.ports.users import Registration, User, Users
from shared.stores.postgres.database import Database
from shared.wiring import Ports

T = TypeVar("T")

PASSWORD = "violet-Harbour-93-lamp"
FIREFOX = Call(request_id="r", address="192.0.2.7", user_agent="Firefox")
CURL = Call(request_id="r", address="198.51.100.9", user_agent="curl")


@dataclass(frozen=True)
class Place:
    """One process of the platform, with the real stores."""

    users: Users
    passwords: Passwords
    sessions: Sessions
    tokens: Tokens
    throttle: Throttle
    database: Database

    async def register(self, name: str) -> Registered:
        request = Register(email=f"{name}@example.org", username=name, password=PASSWORD, confirm_password=PASSWORD)
        return await register(request, users=self.users, passwords=self.passwords, throttle=self.throttle, call=FIREFOX)

    async def admin(self, name: str = "root") -> User:
        hashed = await self.passwords.hash(PASSWORD)
        new = Registration(email=f"{name}@example.org", username=name, password_hash=hashed, roles=("admin",))
        return await self.users.register(new)

    async def login(self, name: str, *, password: str = PASSWORD, call: Call = FIREFOX) -> LoggedIn:
        return await login(
            Login(username=name, password=password),
            users=self.users,
            passwords=self.passwords,
            sessions=self.sessions,
            tokens=self.tokens,
            throttle=self.throttle,
            call=call,
        )

    async def caller(self, access_token: str) -> Caller:
        return await authenticate(f"Bearer {access_token}", tokens=self.tokens, sessions=self.sessions)

    async def registered_caller(self, name: str) -> Caller:
        await self.register(name)
        return await self.caller((await self.login(name)).access_token)

    async def is_out(self, session_id: UUID) -> bool:
        return await self.sessions.check(session_id) is None

    async def acts(self) -> list[tuple[str, str]]:
        """The audit trail, oldest first, without who and on what."""
        rows = await self.database.fetch("SELECT action, outcome FROM audit_log ORDER BY id")
        return [(row["action"], row["outcome"]) for row in rows]

    async def events(self, user_id: UUID) -> list[str]:
        rows = await self.database.fetch("SELECT type FROM events WHERE user_id = $1 ORDER BY position", user_id)
        return [row["type"] for row in rows]


async def within_a_second(holds: Callable[[], Awaitable[bool]]) -> None:
    """Asks again and again: what lapses in a cache has no event to wait for. Raises TimeoutError."""
    async with asyncio.timeout(1):
        async for _ in _ticks():
            if await holds():
                return


async def _ticks() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(0.01)


@asynccontextmanager
async def place(settings: Settings) -> AsyncIterator[Place]:
    async with Ports(settings) as ports:
        yield Place(
            users=await ports.open(Users),
            passwords=await ports.open(Passwords),
            sessions=await ports.open(Sessions),
            tokens=await ports.open(Tokens),
            throttle=await ports.open(Throttle),
            database=await ports.open(Database),
        )


def at(settings: Settings, scenario: Callable[[Place], Awaitable[T]]) -> T:
    """Plays a scenario in one place, within a minute."""

    async def play() -> T:
        async with asyncio.timeout(60), place(settings) as here:
            return await scenario(here)

    return asyncio.run(play())
