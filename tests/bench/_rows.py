"""The one row a task has in a rival's product: written queued by its producer, done with its result by its worker."""

import asyncio
import threading
from uuid import UUID

import asyncpg
import uvloop

from tests.bench._side import POSTGRES_URL

TABLE = """
CREATE TABLE work (
    id uuid PRIMARY KEY, status text NOT NULL, input text NOT NULL, output text,
    created_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz
)
"""
QUEUED = "INSERT INTO work (id, status, input) VALUES ($1, 'queued', $2)"
DONE = "UPDATE work SET status = 'done', output = $2, finished_at = now() WHERE id = $1"

_mine = threading.local()


def execute(statement: str, task_id: UUID, value: str) -> None:
    """For those who block: a loop and a connection for each thread, so that nothing is handed from thread to thread.

    No synchronous driver is among this project's packages. Driven so, asyncpg takes 58 us of CPU for a statement;
    within a running loop it takes 47 us.
    """
    if not hasattr(_mine, "loop"):
        _mine.loop = uvloop.new_event_loop()
        _mine.connection = _mine.loop.run_until_complete(asyncpg.connect(POSTGRES_URL))
    _mine.loop.run_until_complete(_mine.connection.execute(statement, task_id, value))


async def open_pool(size: int) -> "asyncpg.Pool[asyncpg.Record]":
    """Without the round trip that resets a connection after each use: statements here leave no state."""

    async def keep(_: object) -> None:
        await asyncio.sleep(0)

    return await asyncpg.create_pool(POSTGRES_URL, min_size=1, max_size=size, reset=keep)
