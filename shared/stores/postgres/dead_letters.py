"""Dead letters in the record."""

import base64
import codecs
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from events.base import Envelope
from shared.errors import Conflict
from shared.paging import cursor_of, cursor_values
from shared.ports.dead_letters import DeadLetter, DeadLetterList, Reason
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.letters_sql import REFUSE
from shared.stores.postgres.outbox import record_act
from shared.strict_json import Json, plain

_KEPT_BYTES = 64 * 1024
_ERROR_CHARACTERS = 1000
# Of the events on one page, the last of which may be larger.
_PAGE_BYTES = 4 << 20
_LARGEST_SEQUENCE = (1 << 31) - 1
_REPLAY = "dead_letters.replay_dead_letter"
_COLUMNS = "id, reason, consumer, agent, event, error, attempts, at"

_LIST = f"""
WITH page AS (
    SELECT {_COLUMNS}, octet_length(event::text) AS size FROM dead_letters
    WHERE ($1::text IS NULL OR reason = $1) AND ($2::text IS NULL OR agent = $2)
        AND ($3::timestamptz IS NULL OR (at, id) < ($3, $4::uuid))
    ORDER BY at DESC, id DESC LIMIT $5
)
SELECT * FROM (
    SELECT {_COLUMNS}, sum(size) OVER (ORDER BY at DESC, id DESC) - size AS before, count(*) OVER () AS found FROM page
) sized WHERE before < {_PAGE_BYTES} ORDER BY at DESC, id DESC"""

_COPY = """
INSERT INTO events (id, type, source, subject, user_id, agent, sequence, data, at, consumer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), $10)"""

_DUE = "UPDATE callbacks SET due_at = now(), attempts = 0 WHERE user_id = $1 AND execution_id = $2 RETURNING true"

_Then = Callable[[Connection, DeadLetter], Awaitable[None]]


class PostgresDeadLetters:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def refuse(self, consumer: str, event: Envelope, *, reason: Reason, error: str, attempts: int = 1) -> None:
        document = event.model_dump(mode="json", by_alias=True, exclude_none=True)
        await self._keep(reason, consumer, document, attempts, error)

    async def unreadable(self, consumer: str, body: bytes, *, content_type: str, error: str) -> None:
        await self._keep("unreadable", consumer, _raw(body, content_type), 1, error)

    async def _keep(self, reason: Reason, consumer: str, event: Json, attempts: int, error: str) -> None:
        said = plain(error[:_ERROR_CHARACTERS])
        await self._database.execute(REFUSE, reason, plain(consumer[:200]), event, attempts, said)

    async def list(self, *, reason: Reason | None, agent: str | None, limit: int, cursor: str | None) -> DeadLetterList:
        before = cursor_values(cursor) if cursor else (None, None)
        rows = await self._database.fetch(_LIST, reason, agent, *before, limit + 1)
        letters = tuple(_letter(row) for row in rows[:limit])
        more = bool(rows) and rows[0]["found"] > len(letters)
        following = cursor_of(letters[-1].at, letters[-1].id) if more else None
        return DeadLetterList(dead_letters=letters, next_cursor=following)

    async def get(self, letter_id: UUID) -> DeadLetter | None:
        row = await self._database.fetchrow(f"SELECT {_COLUMNS} FROM dead_letters WHERE id = $1", letter_id)
        return _letter(row) if row else None

    async def delete(self, letter_id: UUID, *, actor: UUID) -> bool:
        return await self._take(letter_id, actor, "dead_letters.delete_dead_letter", _nothing)

    async def replay_event(self, letter_id: UUID, *, actor: UUID) -> bool:
        return await self._take(letter_id, actor, _REPLAY, _copy)

    async def replay_callback(self, letter_id: UUID, *, actor: UUID) -> bool:
        return await self._take(letter_id, actor, _REPLAY, _make_due)

    async def replayed_task(self, letter_id: UUID, *, actor: UUID) -> bool:
        return await self._take(letter_id, actor, _REPLAY, _nothing)

    async def refused(self, action: str, letter_id: UUID, *, actor: UUID) -> None:
        async with self._database.transaction() as connection:
            await record_act(connection, actor=actor, action=action, on=f"dead_letter:{letter_id}", outcome="refused")

    async def _take(self, letter_id: UUID, actor: UUID, action: str, then: _Then) -> bool:
        """Whoever else wants the letter waits for this, and finds none after it."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(f"DELETE FROM dead_letters WHERE id = $1 RETURNING {_COLUMNS}", letter_id)
            if row is None:
                return False
            await then(connection, _letter(row))
            await record_act(connection, actor=actor, action=action, on=f"dead_letter:{letter_id}")
        return True


async def _nothing(_: Connection, __: DeadLetter) -> None:
    """The letter only goes."""


async def _copy(connection: Connection, letter: DeadLetter) -> None:
    """The event as it was, for the one consumer alone. Raises Conflict."""
    event = Envelope.model_validate(letter.event)
    event_id = _uuid(event.id)
    fits = event.subject is not None and (event.sequence or 0) <= _LARGEST_SEQUENCE
    if event_id is None or not fits or (event.time is not None and event.time.tzinfo is None):
        raise Conflict(f"the event {event.id!r} is not one that the record can hold, so it cannot be sent again")
    known = (event_id, event.type, event.source, event.subject, event.user_id, event.agent, event.sequence, event.data)
    await connection.execute(_COPY, *known, event.time, letter.consumer)


async def _make_due(connection: Connection, letter: DeadLetter) -> None:
    """Raises Conflict."""
    event = Envelope.model_validate(letter.event)
    if not await connection.fetchval(_DUE, event.user_id, _uuid(event.subject or "")):
        raise Conflict(f"nobody waits for the callback of {event.subject!r} any more")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(**{name: row[name] for name in DeadLetter.model_fields})


def _raw(body: bytes, content_type: str) -> dict[str, Json]:
    kept = body[:_KEPT_BYTES]
    text = _text(kept, whole=len(kept) == len(body))
    return {
        "body": base64.b64encode(kept).decode() if text is None else text,
        "encoding": "base64" if text is None else "text",
        "content_type": plain(content_type[:200]),
        "size_bytes": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _text(kept: bytes, *, whole: bool) -> str | None:
    """None where it is not UTF-8, or holds a NUL, which the record does not take. A cut character is left out."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(kept, final=whole)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
