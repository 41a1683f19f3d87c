"""One of several processes at a time, by an advisory lock: the others stand by."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.errors import Unavailable
from shared.stores.postgres.database import Alone, Database, connect, translated


@asynccontextmanager
async def one_active(database: Database, lock: int, *, name: str, lost: str) -> AsyncIterator[None]:
    """Waits for its turn. Raises Unavailable, which says `lost`, as soon as the lock may be another's."""
    connection = await connect(database.url, name=name)
    try:
        with translated():
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock):
                await asyncio.sleep(1)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_watch(connection))
            yield
            watch.cancel()
    except ExceptionGroup as errors:
        if errors.split(Unavailable)[1] is not None:
            raise
        # The lock went with its connection, so another one may be active already.
        raise Unavailable(lost) from errors
    finally:
        connection.terminate()


async def _watch(connection: Alone) -> None:
    """Raises Unavailable when the connection that holds the lock is gone."""
    while True:
        await asyncio.sleep(1)
        with translated():
            async with asyncio.timeout(5):
                await connection.fetchval("SELECT 1")
