"""The connection pool to the record, with its errors translated."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self

import asyncpg

from shared.config import Settings
from shared.errors import ConfigurationError, RecordAway
from shared.stores.postgres.schema import check_up_to_date
from shared.strict_json import Json, dump

if TYPE_CHECKING:
    # Generic in the stubs only.
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Alone = asyncpg.Connection[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
else:
    Connection = Alone = Pool = Any

# Whoever holds this advisory lock is the active keeper.
KEEPER_LOCK = 0x4B45_4550

# The server is away, starting, stopping, or out of something: what a later attempt may find mended.
_PASSING = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    asyncpg.InterfaceError,
    # Between the server's farewell and the end of its connection, the driver takes either for a fault of its own.
    asyncpg.InternalClientError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raises RecordAway for what passes by itself; other errors of the server are ours and pass through."""
    try:
        yield
    except _PASSING as exc:
        raise RecordAway("the database cannot be reached now") from exc


async def _keep(_: object) -> None:
    """Statements here leave no session state behind, so the pool's reset would be a round trip for nothing."""


def _written(value: Json) -> str:
    return dump(value).decode()


async def _prepare(connection: Alone) -> None:
    await connection.set_type_codec("jsonb", encoder=_written, decoder=json.loads, schema="pg_catalog")


async def connect(url: str, *, name: str = "sutazai") -> Alone:
    """One connection outside the pool, for those who listen or hold a lock."""
    with translated():
        connection = await asyncpg.connect(url, timeout=10, server_settings=_session(name))
        await _prepare(connection)
        return connection


def _session(name: str) -> dict[str, str]:
    return {"search_path": "sutazai", "application_name": name, "timezone": "UTC", "jit": "off"}


class Database:
    """A pool that connects on first use, so that a function which answers without the record starts without it."""

    def __init__(self, *, settings: Settings) -> None:
        if not settings.postgres_url:
            raise ConfigurationError("SUTAZAI_POSTGRES_URL is not set: the record has to lie somewhere")
        self.url = settings.postgres_url
        self._size = settings.database_connections
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        # Of the pool's backends, so that a listener can tell what this process said itself.
        self.pids: set[int] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            try:
                async with asyncio.timeout(5):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

    async def _open(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self.url,
                    # None is opened again unasked: whose loop stands still between two jobs could not.
                    min_size=0,
                    init_size=1,
                    max_size=self._size,
                    timeout=5,
                    command_timeout=15,
                    reset=_keep,
                    init=self._prepare,
                    server_settings=_session(socket.gethostname()),
                )
                try:
                    await check_up_to_date(pool)
                except BaseException:
                    pool.terminate()
                    raise
                self._pool = pool
        return self._pool

    async def _prepare(self, connection: Alone) -> None:
        pid = connection.get_server_pid()
        self.pids.add(pid)
        connection.add_termination_listener(lambda _: self.pids.discard(pid))
        await _prepare(connection)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for single statements, each its own transaction."""
        with translated():
            async with (self._pool or await self._open()).acquire(timeout=10) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Raises Unavailable when the server is away; whether the commit happened is then unknown."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *args: Any) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return await connection.fetch(query, *args)

    async def fetchrow(self, query: str, *args: Any) -> asyncpg.Record | None:
        async with self.connection() as connection:
            return await connection.fetchrow(query, *args)

    async def fetchval(self, query: str, *args: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: Any) -> str:
        async with self.connection() as connection:
            return await connection.execute(query, *args)
