"""For tests of live edges: the gateway's functions on a real port, and people with sockets to it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self, TypeVar
from uuid import UUID

import httpx
from argon2 import PasswordHasher
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from shared.background import Background
from shared.catalog import load, modules
from shared.config import Settings
from shared.function import Http, Spec, WebSocket
from shared.identity import scopes_of
from shared.ports.api_keys import ApiKeys
from shared.ports.sessions import Sessions
from shared.ports.tasks import Claimed, NewTask, Outcome, Queue, Tasks
from shared.ports.tokens import Tokens
from shared.ports.users import Registration, Role, Users
from shared.serve import App, server_of
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.people import FIREFOX, PASSWORD

T = TypeVar("T")
Frame = dict[str, Any]

AGENT = "everything"
_PACKAGES = tuple(f"functions.{name}." for name in ("auth", "realtime", "registry", "tasks", "users"))


@cache
def _specs() -> tuple[Spec, ...]:
    found = (load(name) for name in modules() if name.startswith(_PACKAGES))
    return tuple(spec for spec in found if isinstance(spec.trigger, Http | WebSocket))


@cache
def _password_hash() -> str:
    return PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)


@dataclass
class Person:
    user_id: UUID
    session_id: UUID
    token: str = field(repr=False)


class Socket:
    """A client's end of `/ws`, on which frames are JSON."""

    def __init__(self, wire: ClientConnection) -> None:
        self.wire = wire

    async def send(self, **frame: Any) -> None:
        await self.wire.send(json.dumps(frame))

    async def next(self, within_s: float = 10) -> Frame:
        async with asyncio.timeout(within_s):
            frame: Frame = json.loads(await self.wire.recv())
            return frame

    async def ask(self, **frame: Any) -> Frame:
        await self.send(**frame)
        return await self.next()

    async def until(self, holds: Callable[[Frame], bool], within_s: float = 10) -> list[Frame]:
        """The frames up to the first that holds."""
        frames: list[Frame] = []
        async with asyncio.timeout(within_s):
            while not frames or not holds(frames[-1]):
                frames.append(json.loads(await self.wire.recv()))
        return frames

    async def closed(self, within_s: float = 10) -> tuple[int, str]:
        """The close code and reason; what was sent before is skipped."""
        async with asyncio.timeout(within_s):
            try:
                while True:
                    await self.wire.recv()
            except ConnectionClosed as closed:
                return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


class House:
    """The served functions, and beside them another process that works for users and workers."""

    def __init__(self, port: int, ports: Ports) -> None:
        self.port = port
        self.http = f"http://127.0.0.1:{port}"
        self.ws = f"ws://127.0.0.1:{port}/ws"
        self._ports = ports

    async def open(self) -> Self:
        ports = self._ports
        self.users, self.sessions, self.tokens = (
            await ports.open(Users),
            await ports.open(Sessions),
            await ports.open(Tokens),
        )
        self.keys = await ports.open(ApiKeys)
        self.tasks, self.queue, self.database = (
            await ports.open(Tasks),
            await ports.open(Queue),
            await ports.open(Database),
        )
        self.worker = await self.queue.join([AGENT], slot=None)
        return self

    async def person(self, name: str, *roles: Role, tier: str = "enterprise") -> Person:
        new = Registration(
            email=f"{name}@example.org", username=name, password_hash=_password_hash(), roles=roles or ("user",)
        )
        user = await self.users.register(new)
        await self.database.execute("UPDATE users SET tier = $2 WHERE id = $1", user.id, tier)
        return await self.login(user.id, frozenset(roles or ("user",)))

    async def login(self, user_id: UUID, roles: frozenset[str] = frozenset({"user"})) -> Person:
        session = await self.sessions.start(user_id, self.tokens.new_refresh(), call=FIREFOX)
        token = self.tokens.issue(user_id=user_id, session_id=session.session_id, roles=roles, scopes=scopes_of(roles))
        return Person(user_id, session.session_id, token.text)

    @asynccontextmanager
    async def socket(self, person: Person | None = None, **options: Any) -> AsyncIterator[Socket]:
        """Authenticated where a person is given."""
        async with connect(self.ws, proxy=None, compression=None, max_size=None, **options) as wire:
            socket = Socket(wire)
            if person is not None:
                ready = await socket.ask(type="auth", token=person.token)
                assert ready["type"] == "ready", ready
            yield socket

    def client(self, person: Person) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {person.token}"}
        return httpx.AsyncClient(base_url=self.http, headers=headers, timeout=30, trust_env=False)

    async def submit(self, person: Person, count: int = 1, tool: str = "echo") -> Sequence[UUID]:
        new = NewTask(user_id=person.user_id, agent=AGENT, tool=tool, parameters={"message": "x"})
        return await self.tasks.accept([new] * count)

    async def claim(self, count: int = 1) -> list[Claimed]:
        return await self.queue.claim(self.worker, AGENT, ["echo"], count)

    async def finish(self, *claimed: Claimed, status: Any = "succeeded") -> None:
        await asyncio.gather(*(self.queue.finish(task, Outcome(status)) for task in claimed))

    async def run(self, person: Person, count: int = 1) -> Sequence[UUID]:
        """Tasks that are over."""
        ids = await self.submit(person, count)
        while claimed := await self.claim(16):
            await self.finish(*claimed)
        return ids


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[House]:
    """With a keeper, which numbers events; tasks are claimed and finished by the test's own hand."""
    background = Background([load("functions.keeper.keep")])
    app = App(_specs(), settings=settings, beside=[background])
    server = server_of(app, host="127.0.0.1", port=0, drain_s=5)
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(30):
            while not server.started and not running.done():
                await asyncio.sleep(0.01)
        if running.done():
            await running
        port = server.servers[0].sockets[0].getsockname()[1]
        async with Ports(settings) as ports:
            yield await House(port, ports).open()
    finally:
        server.should_exit = True
        await running


def at_home(settings: Settings, scenario: Callable[[House], Awaitable[T]], *, within_s: float = 60) -> T:
    async def play() -> T:
        async with asyncio.timeout(within_s), served(settings) as house:
            return await scenario(house)

    return asyncio.run(play())
