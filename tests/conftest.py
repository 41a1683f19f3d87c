"""Real servers for the run, and a fresh database for each test that wants one."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
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

T = TypeVar("T")


class _Kept:
    """Servers whose supervisor runs in a thread's loop for as long as the tests do."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = contextlib.AsyncExitStack()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        return self.run(self._stack.enter_async_context(context))

    def close(self) -> None:
        self.run(self._stack.aclose())
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
def _postgres(_servers: _Kept, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A server of this test process, with a migrated template. What a crash would lose does not matter here."""
    home = _reachable(tmp_path_factory.mktemp("postgres"))
    url = _servers.enter(running_postgres(home, fsync=False, say=lambda _: None))

    async def prepare() -> None:
        await _statement(url, "CREATE DATABASE template")
        await migrate(_database(url, "template"))

    _servers.run(prepare())
    return url


def _reachable(folder: Path) -> Path:
    """The servers run as another user where the tests run as root, and pytest's folders are closed to others."""
    if os.geteuid() == 0:
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    return folder


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
def _valkey(_servers: _Kept, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = _reachable(tmp_path_factory.mktemp("valkey"))
    return _servers.enter(running_valkey(home, fsync=False, say=lambda _: None))


@pytest.fixture
def redis_url(_valkey: str) -> str:
    """Shared by the tests of one process: keys hold ids that no other test has."""
    return _valkey


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    environ = {"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_POSTGRES_URL": database_url, "SUTAZAI_REDIS_URL": redis_url}
    return Settings.read(environ)


def run(work: Callable[[], Coroutine[object, object, T]] | Coroutine[object, object, T], *, within_s: float = 60) -> T:
    """Runs a test's coroutine in a loop of its own, under a deadline."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            return await (work() if callable(work) else work)

    return asyncio.run(bounded())
