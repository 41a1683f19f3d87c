"""Asks whether sessions and API keys are still alive: one query for all that are watched in this process."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from shared.errors import Unavailable
from shared.function import Caller
from shared.stores.postgres.database import Database
from shared.stores.postgres.reader import Reader

logger = logging.getLogger("sutazai.live")

# Half of what a logout may take.
_POLL_S = 0.5
_PATIENCE_S = 1.0
_LIVE = """
SELECT id, roles FROM live_sessions WHERE id = ANY($1)
UNION ALL
SELECT k.id, u.roles FROM api_keys k JOIN users u ON u.id = k.user_id
WHERE k.id = ANY($1) AND (k.expires_at IS NULL OR k.expires_at > now()) AND u.is_active
"""


class PostgresSessionWatch(Reader):
    def __init__(self, *, database: Database) -> None:
        self._database = database
        self._watched: dict[UUID, tuple[Caller, Callable[[str], None]]] = {}
        self._came = asyncio.Event()

    @asynccontextmanager
    async def watching(self, caller: Caller, changed: Callable[[str], None]) -> AsyncIterator[None]:
        name = uuid4()
        self._watched[name] = (caller, changed)
        self._came.set()
        self._begin()
        try:
            yield
        finally:
            self._watched.pop(name, None)

    async def _read(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while self._watched:
                try:
                    await self._turn()
                except (Unavailable, TimeoutError):
                    # No session can be ended while the record is away.
                    logger.info("sessions are asked for again when the record is back")
                except Exception:
                    logger.exception("sessions could not be asked for")
                await asyncio.sleep(_POLL_S)

    async def _turn(self) -> None:
        now = time.time()
        for name, (caller, _) in tuple(self._watched.items()):
            if caller.expires_at <= now:
                self._tell(name, "the token has expired")
        asked = dict(self._watched)
        ids = {caller.session_id for caller, _ in asked.values()}
        # Tokens expire also while the record hangs.
        async with asyncio.timeout(_PATIENCE_S):
            rows = await self._database.fetch(_LIVE, list(ids))
        roles = {row["id"]: frozenset(row["roles"]) for row in rows}
        for name, (caller, _) in asked.items():
            found = roles.get(caller.session_id)
            if found is None:
                self._tell(name, "the session has ended")
            elif found != caller.roles:
                self._tell(name, "the roles have changed")

    def _tell(self, name: UUID, why: str) -> None:
        watched = self._watched.pop(name, None)
        if watched is not None:
            watched[1](why)
