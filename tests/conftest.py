"""Real servers for the run, and a fresh database for each test that wants one."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.local.valkey import running_valkey
from shared.stores.postgres.migrate import migrate
from tests.neo4j import Neo4j
from tests.rabbitmq import RabbitMQ, vhost

T = TypeVar("T")


class _Kept:
    """Servers whose supervisor runs in a thread's loop for as long as the tests do."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    @contextlib.contextmanager
    def running(self, server: AbstractAsyncContextManager[T]) -> Iterator[T]:
        stack = contextlib.AsyncExitStack()
        try:
            yield self.run(stack.enter_async_context(server))
        finally:
            self.run(stack.aclose())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="session")
def _servers() -> Iterator[_Kept]:
    kept = _Kept()
    try:
        yield kept
    finally:
        kept.close()


def _database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def _postgres(_servers: _Kept) -> Iterator[str]:
    """A server of this test process, with a migrated template. What a crash would lose does not matter here."""

    async def prepare(url: str) -> None:
        await _statement(url, "CREATE DATABASE template")
        await migrate(_database(url, "template"))

    with _home("postgres") as home, _servers.running(running_postgres(home, fsync=False, say=lambda _: None)) as url:
        _servers.run(prepare(url))
        yield url


@contextlib.contextmanager
def _home(name: str) -> Iterator[Path]:
    """Outside pytest's own folders: as root the servers run as another user, whom each new run shuts out of those."""
    with tempfile.TemporaryDirectory(prefix=f"sutazai-{name}-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


async def _statement(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def database_url(_servers: _Kept, _postgres: str) -> Iterator[str]:
    name = f"t{uuid4().hex}"
    _servers.run(_statement(_postgres, f"CREATE DATABASE {name} TEMPLATE template STRATEGY file_copy"))
    yield _database(_postgres, name)
    _servers.run(_statement(_postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="session")
def _valkey(_servers: _Kept) -> Iterator[str]:
    with _home("valkey") as home, _servers.running(running_valkey(home, fsync=False, say=lambda _: None)) as url:
        yield url


@pytest.fixture
def redis_url(_valkey: str) -> str:
    """Shared by the tests of one process: keys hold ids that no other test has."""
    return _valkey


@pytest.fixture(scope="session")
def broker() -> Iterator[RabbitMQ]:
    """Shared by the tests of one process, so it is no test's to stop."""
    with RabbitMQ() as broker:
        yield broker


@pytest.fixture
def amqp_url(broker: RabbitMQ) -> Iterator[str]:
    with vhost(broker) as url:
        yield url


@pytest.fixture(scope="session")
def graph_server() -> Iterator[Neo4j]:
    """Shared by the tests of one process, so it is no test's to stop."""
    with Neo4j() as server:
        yield server


@pytest.fixture
def neo4j_url(graph_server: Neo4j) -> str:
    """With nothing in it: the community's server has one database."""
    graph_server.empty()
    return graph_server.url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    environ = {"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_POSTGRES_URL": database_url, "SUTAZAI_REDIS_URL": redis_url}
    return Settings.read(environ)
