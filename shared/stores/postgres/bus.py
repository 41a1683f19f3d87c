"""The bus of one machine, over the record: wake-ups are hints, and consumers read the events themselves."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from shared.errors import Unavailable
from shared.ports.bus import Handle, WakeUp
from shared.ports.dead_letters import DeadLetters
from shared.ports.signals import Signals
from shared.stores.postgres.database import Database
from shared.stores.postgres.events import ENVELOPE, envelope_of

logger = logging.getLogger("sutazai.bus")

ATTEMPTS = 5
_BATCH = 1000
_POLL_S = 1.0
# A replica that dies holds its cursor for so long.
_HOLD_S = 10.0
_BACK_OFF_S = 0.25


class PostgresBus:
    def __init__(self, *, database: Database, signals: Signals, dead_letters: DeadLetters) -> None:
        self._database = database
        self._signals = signals
        self._dead_letters = dead_letters

    async def wake(self, wake_ups: Sequence[WakeUp]) -> None:
        """Nothing is confirmed: the keeper reminds, as it would where a broker had lost them."""
        for wake_up in wake_ups:
            self._signals.send("wake", json.dumps([wake_up.agent, wake_up.wanted]))

    async def relay(self) -> None:
        """Consumers read the record themselves; whoever numbered it has told them to look."""

    async def make_up(self) -> None:
        """Nothing is on its way that could be lost."""

    @asynccontextmanager
    async def waking(self, agents: Collection[str], heard: Callable[[WakeUp], None]) -> AsyncIterator[None]:
        def hear(payload: str | None) -> None:
            named = [(agent, 1) for agent in agents] if payload is None else [json.loads(payload)]
            for agent, wanted in named:
                if agent in agents:
                    heard(WakeUp(agent, wanted))

        async with self._signals.listening("wake", hear):
            yield

    async def pass_on(self, agent: str) -> None:
        """Every process hears every wake-up."""

    async def consume(self, consumer: str, type: str, handle: Handle) -> None:
        changed = asyncio.Event()
        async with self._signals.listening("events", lambda _: changed.set()):
            while True:
                changed.clear()
                try:
                    if await self._consume_some(consumer, type, handle):
                        continue
                except Unavailable:
                    logger.info("%s waits for the record", consumer)
                try:
                    async with asyncio.timeout(_POLL_S):
                        await changed.wait()
                except TimeoutError:
                    continue

    async def _consume_some(self, consumer: str, type: str, handle: Handle) -> bool:
        """False when there is nothing to do now. The cursor's due time is the lock between replicas."""
        cursor = await self._take(consumer)
        if cursor is None:
            return False
        async with self._holding(consumer):
            failed_attempts = await self._consume_upto(consumer, type, handle, cursor)
        if failed_attempts:
            await self._put_back(consumer, failed_attempts)
        else:
            await self._advance(consumer, cursor["upto"], hold_s=0.0)
        return not failed_attempts

    async def _consume_upto(self, consumer: str, type: str, handle: Handle, cursor: Any) -> int:
        """How often the event has failed that must come again; 0 when all are done with."""
        attempts: int = cursor["attempts"]
        query = (
            f"SELECT seq, {ENVELOPE} FROM events WHERE seq > $1 AND seq <= $2"
            " AND (type = $3 AND consumer IS NULL OR consumer = $4) ORDER BY seq"
        )
        for row in await self._database.fetch(query, cursor["seq"], cursor["upto"], type, consumer):
            try:
                await handle(envelope_of(row))
            except Unavailable as exc:
                if attempts + 1 < ATTEMPTS:
                    return attempts + 1
                await self._dead_letters.refuse(
                    consumer, envelope_of(row), reason="attempts", error=str(exc), attempts=ATTEMPTS
                )
            attempts = 0
            await self._advance(consumer, row["seq"], hold_s=_HOLD_S)
        return 0

    @asynccontextmanager
    async def _holding(self, consumer: str) -> AsyncIterator[None]:
        """Keeps other replicas away however long a handler takes; whoever is stopped in between lets them in."""
        beat = asyncio.create_task(self._beat(consumer))
        try:
            yield
        except BaseException:
            await _stopped(beat)
            with suppress(Unavailable):
                await self._hold(consumer, 0.0)
            raise
        finally:
            await _stopped(beat)

    async def _beat(self, consumer: str) -> None:
        while True:
            await asyncio.sleep(_HOLD_S / 4)
            with suppress(Unavailable):
                await self._hold(consumer, _HOLD_S)

    async def _hold(self, consumer: str, seconds: float) -> None:
        await self._database.execute(
            "UPDATE consumers SET due_at = now() + make_interval(secs => $2) WHERE name = $1", consumer, seconds
        )

    async def _take(self, consumer: str) -> Any:
        """The cursor, with how far to read; None when it is held, in back-off, or at the end."""
        await self._database.execute(
            "INSERT INTO consumers (name, seq) SELECT $1, 0 WHERE NOT EXISTS (SELECT FROM consumers WHERE name = $1)"
            " ON CONFLICT DO NOTHING",
            consumer,
        )
        return await self._database.fetchrow(
            "UPDATE consumers SET due_at = now() + make_interval(secs => $2)"
            " WHERE name = $1 AND due_at <= now() AND seq < (SELECT max(seq) FROM events)"
            f" RETURNING seq, attempts, (SELECT max(seq) FROM (SELECT e.seq FROM events e WHERE e.seq > consumers.seq"
            f" ORDER BY e.seq LIMIT {_BATCH}) next) AS upto",
            consumer,
            _HOLD_S,
        )

    async def _advance(self, consumer: str, seq: int, *, hold_s: float) -> None:
        await self._database.execute(
            "UPDATE consumers SET seq = greatest(seq, $2), attempts = 0, due_at = now() + make_interval(secs => $3)"
            " WHERE name = $1",
            consumer,
            seq,
            hold_s,
        )

    async def _put_back(self, consumer: str, attempts: int) -> None:
        await self._database.execute(
            "UPDATE consumers SET attempts = $2, due_at = now() + make_interval(secs => $3) WHERE name = $1",
            consumer,
            attempts,
            _BACK_OFF_S * 2.0**attempts,
        )


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
