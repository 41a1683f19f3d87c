"""The connection to Neo4j, with its errors translated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

import neo4j
from neo4j.exceptions import DriverError, Neo4jError, TransientError

from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable

T = TypeVar("T")
Transaction = neo4j.AsyncManagedTransaction

_SCHEMES = frozenset(f"{scheme}{safety}" for scheme in ("bolt", "neo4j") for safety in ("", "+s", "+ssc"))
_RETRIED_S = 5.0
# A batch of a rebuild takes seconds on a small machine.
_PATIENCE_S = 120.0
_LONGEST_S = 600.0


@contextmanager
def translated() -> Iterator[None]:
    """Raises Unavailable for what passes by itself; other errors of the server are ours and pass through."""
    try:
        yield
    except (TransientError, DriverError, OSError, TimeoutError) as exc:
        raise Unavailable("the graph cannot be reached now") from exc
    except Neo4jError as exc:
        if exc.is_retryable() or (exc.code or "").startswith(("Neo.ClientError.Security", "Neo.DatabaseError")):
            raise Unavailable("the graph cannot be reached now") from exc
        raise


class Neo4jLink:
    """A pool that connects on first use. Reads and writes are whole transactions, tried again for some seconds."""

    def __init__(self, *, settings: Settings) -> None:
        self._url, self._auth = _address(settings.neo4j_url)
        self._driver: neo4j.AsyncDriver | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._driver is not None:
            await self._driver.close()

    async def read(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        with translated():
            async with asyncio.timeout(_PATIENCE_S), self.session(access=neo4j.READ_ACCESS) as session:
                return await session.execute_read(work)

    async def ask(self, statement: str, **parameters: Any) -> list[neo4j.Record]:
        """A read of one statement: it goes out together with the transaction's beginning."""
        with translated():
            async with asyncio.timeout(_PATIENCE_S):
                found = await self._pool().execute_query(
                    statement, parameters, routing_=neo4j.RoutingControl.READ, bookmark_manager_=None
                )
        return found.records

    async def write(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        with translated():
            async with asyncio.timeout(_PATIENCE_S), self.session() as session:
                return await session.execute_write(work)

    async def alone(self, statement: str, **parameters: Any) -> list[neo4j.Record]:
        """What cannot be part of a transaction: it makes its own, or changes the schema."""
        with translated():
            async with asyncio.timeout(_LONGEST_S), self.session() as session:
                return await fetched(await session.run(statement, parameters))

    @asynccontextmanager
    async def session(self, *, access: str = neo4j.WRITE_ACCESS) -> AsyncIterator[neo4j.AsyncSession]:
        async with self._pool().session(default_access_mode=access) as session:
            yield session

    def _pool(self) -> neo4j.AsyncDriver:
        if self._driver is None:
            self._driver = neo4j.AsyncGraphDatabase.driver(
                self._url,
                auth=self._auth,
                connection_timeout=5,
                connection_acquisition_timeout=10,
                max_transaction_retry_time=_RETRIED_S,
                max_connection_pool_size=20,
                user_agent="sutazai",
                notifications_min_severity="OFF",
                telemetry_disabled=True,
            )
        return self._driver


async def fetched(result: neo4j.AsyncResult) -> list[neo4j.Record]:
    return [record async for record in result]


def _address(url: str) -> tuple[str, tuple[str, str] | None]:
    """Without its secrets, and those. Raises ConfigurationError that names none."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigurationError("SUTAZAI_NEO4J_URL is no URL such as bolt://neo4j:password@host:7687")
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", "")), auth
