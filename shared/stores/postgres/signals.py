"""Hints over NOTIFY, sent outside of the transactions they speak of: inside, they would make commits queue up."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import asyncpg

from shared.errors import Unavailable
from shared.ports.signals import Channel
from shared.stores.postgres.database import Alone, Database, connect

logger = logging.getLogger("sutazai.signals")

Heard = Callable[[str | None], None]
_MOST_AT_ONCE = 500
_PREFIX = "sutazai_"


class PostgresSignals:
    """One connection listens for the whole process, from the first listener on; it is made again when it breaks."""

    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._to_send: dict[tuple[str, str], None] = {}
        self._echoes: Counter[tuple[str, str]] = Counter()
        self._sending: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._listeners: dict[str, set[Heard]] = {}
        self._connection: Alone | None = None
        self._changing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [task for task in (self._listening, self._sending) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def send(self, channel: Channel, payload: str) -> None:
        # Listeners of this process need no round trip, and are not told again when the server's echo arrives.
        self._tell(_PREFIX + channel, payload)
        if len(self._to_send) < _MOST_AT_ONCE * 10:
            self._to_send[(_PREFIX + channel, payload)] = None
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        while self._to_send:
            batch = list(self._to_send)[:_MOST_AT_ONCE]
            for item in batch:
                del self._to_send[item]
            self._echoes.update(batch if self._connection is not None else ())
            try:
                await self._database.execute(
                    "SELECT pg_notify(c, p) FROM unnest($1::text[], $2::text[]) AS hint (c, p)",
                    [channel for channel, _ in batch],
                    [payload for _, payload in batch],
                )
            except Unavailable:
                self._echoes.clear()
                logger.info("%d hints were not sent; whoever waits polls", len(batch))

    @asynccontextmanager
    async def listening(self, channel: Channel, heard: Heard) -> AsyncIterator[None]:
        name = _PREFIX + channel
        async with self._changing:
            first = name not in self._listeners
            self._listeners.setdefault(name, set()).add(heard)
            if self._listening is None:
                connected = asyncio.Event()
                self._listening = asyncio.create_task(self._listen(connected))
                await connected.wait()
            elif first and self._connection is not None:
                await self._add(self._connection, name)
        try:
            yield
        finally:
            # The channel stays listened to: waiting for a task comes and goes too often to tell the server each time.
            self._listeners[name].discard(heard)

    async def _listen(self, connected: asyncio.Event) -> None:
        pause_s = 0.1
        while True:
            try:
                await self._listen_once(connected)
                pause_s = 0.1
            except Unavailable:
                connected.set()
                pause_s = min(pause_s * 2, 2.0)
            await asyncio.sleep(pause_s)

    async def _listen_once(self, connected: asyncio.Event) -> None:
        connection = await connect(self._database.url, name="sutazai-listen")
        broken = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: broken.set())
            for name in list(self._listeners):
                await self._add(connection, name)
            self._echoes.clear()
            self._connection = connection
            connected.set()
            self._tell_all()
            await broken.wait()
        finally:
            self._connection = None
            connection.terminate()

    async def _add(self, connection: Alone, name: str) -> None:
        try:
            await connection.add_listener(name, self._hear)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # The connection is breaking; the one after it adds every channel.
            logger.info("listening to %s will start with the next connection", name)

    def _hear(self, _connection: object, pid: int, channel: str, payload: object) -> None:
        hint = (channel, str(payload))
        if pid in self._database.pids and self._echoes.get(hint):
            self._echoes -= Counter([hint])
        else:
            self._tell(*hint)

    def _tell(self, channel: str, payload: str) -> None:
        for heard in tuple(self._listeners.get(channel, ())):
            heard(payload)

    def _tell_all(self) -> None:
        for listeners in self._listeners.values():
            for heard in tuple(listeners):
                heard(None)
