"""Polls how agents fare, once a second for all who watch them together."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

from shared.catalog import agent_names
from shared.errors import Unavailable
from shared.ports.agents import AgentFare, Agents
from shared.ports.live import AgentChange, AgentHeard
from shared.stores.postgres.database import Database
from shared.stores.postgres.reader import Reader

logger = logging.getLogger("sutazai.live")

_POLL_S = 1.0
# However long asking takes, it is most of the time not being asked.
_PAUSE_PER_POLL = 10.0
# So many are told before others get their turn.
_STEP = 50
_CURRENT = """
SELECT DISTINCT ON (user_id, agent_type) user_id, agent_type, id FROM agent_executions
WHERE status = 'running' AND user_id = ANY($1) ORDER BY user_id, agent_type, started_at DESC
"""
_Current = dict[tuple[UUID, str], UUID]


class PolledAgentFeed(Reader):
    def __init__(self, *, agents: Agents, database: Database) -> None:
        self._agents = agents
        self._database = database
        # What each watcher was told last, by agent.
        self._watchers: dict[tuple[UUID, AgentHeard], dict[str, tuple[str, UUID | None]]] = {}
        self._fares: dict[str, AgentFare] = {}
        self._asked_at = float("-inf")
        self._pause_s = _POLL_S
        self._joined = asyncio.Event()

    @asynccontextmanager
    async def watching(self, user_id: UUID, heard: AgentHeard) -> AsyncIterator[None]:
        self._watchers[user_id, heard] = {}
        self._joined.set()
        self._begin()
        try:
            yield
        finally:
            del self._watchers[user_id, heard]

    async def _read(self) -> None:
        while True:
            self._joined.clear()
            try:
                await self._turn()
            except Unavailable:
                logger.info("watchers of agents wait for the record")
            except Exception:
                logger.exception("watchers of agents missed a turn")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s if self._watchers else None):
                    await self._joined.wait()

    async def _turn(self) -> None:
        """Whoever has just come is told what is known, without asking for all again."""
        began = time.monotonic()
        due = began - self._asked_at >= self._pause_s
        users = {user_id for (user_id, _), told in self._watchers.items() if due or not told}
        if due and users:
            self._fares = await self._agents.fare(agent_names())
            self._asked_at = time.monotonic()
            self._pause_s = max(_POLL_S, (self._asked_at - began) * _PAUSE_PER_POLL)
        await self._tell(users, await self._current(users))

    async def _current(self, users: Collection[UUID]) -> _Current:
        rows = await self._database.fetch(_CURRENT, list(users)) if users else ()
        return {(row["user_id"], row["agent_type"]): row["id"] for row in rows}

    async def _tell(self, users: Collection[UUID], current: _Current) -> None:
        at = datetime.now(UTC)
        for position, ((user_id, heard), told) in enumerate(tuple(self._watchers.items())):
            if position % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            if user_id not in users or (user_id, heard) not in self._watchers:
                continue
            for agent, fare in self._fares.items():
                state = (fare.status, current.get((user_id, agent)))
                if told.get(agent) != state:
                    told[agent] = state
                    heard(AgentChange(agent_id=agent, status=fare.status, current_task=state[1], at=at))
