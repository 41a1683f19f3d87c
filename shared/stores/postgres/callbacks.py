"""Callbacks as rows beside their tasks; the statements of queue_sql.py write them and make them due."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from events.base import Envelope, Event
from events.tasks import TaskCancelled, TaskExpired, TaskFailed, TaskSucceeded
from shared.crypto import Codec, blind_index, index_key
from shared.errors import ConfigurationError
from shared.ports.callbacks import Callback
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import Outcome, record_act
from shared.url_ports import DEFAULT_PORTS

_PEER_BYTES = 16
_ENDS: dict[str, type[Event]] = {
    "succeeded": TaskSucceeded,
    "failed": TaskFailed,
    "cancelled": TaskCancelled,
    "expired": TaskExpired,
}

# It steps from peer to peer, so thousands that wait for a slow one cost those of others nothing; a hundred are enough
# to find something for every call that is free. Rows are found again by their place: no plan can scan the table then.
# $1 the peers of calls under way, $2 limit, $3 seconds, $4 calls at once to one peer
_LEASE = """
WITH RECURSIVE busy AS (
    SELECT peer, count(*) AS calls FROM unnest($1::bytea[]) AS t (peer) GROUP BY peer
), peers AS (
    (SELECT peer FROM callbacks WHERE due_at <= now() ORDER BY peer LIMIT 1)
    UNION ALL
    SELECT (SELECT c.peer FROM callbacks c WHERE c.peer > p.peer AND c.due_at <= now() ORDER BY c.peer LIMIT 1)
    FROM peers p WHERE p.peer IS NOT NULL
), picked AS (
    SELECT d.place
    FROM (SELECT peer FROM peers WHERE peer IS NOT NULL LIMIT 100) p LEFT JOIN busy b USING (peer)
    CROSS JOIN LATERAL (
        SELECT c.ctid AS place, c.due_at FROM callbacks c WHERE c.peer = p.peer AND c.due_at <= now()
        ORDER BY c.due_at LIMIT greatest($4::int - coalesce(b.calls, 0), 0)
    ) d ORDER BY d.due_at LIMIT $2
), locked AS (
    SELECT l.place FROM picked p CROSS JOIN LATERAL (
        SELECT c.ctid AS place FROM callbacks c WHERE c.ctid = p.place AND c.due_at <= now() FOR UPDATE SKIP LOCKED
    ) l
), leased AS (
    UPDATE callbacks c SET due_at = now() + make_interval(secs => $3)
    WHERE c.ctid = ANY(ARRAY(SELECT place FROM locked)) RETURNING c.*
)
SELECT l.user_id, l.execution_id, l.url, l.peer, l.attempts, l.due_at, e.agent_type, e.task_id, e.status, e.version,
    e.error ->> 'code' AS reason, e.finished_at
FROM leased l LEFT JOIN agent_executions e ON e.user_id = l.user_id AND e.id = l.execution_id
"""
_THIS = "user_id = $1 AND execution_id = $2"
_HELD = f"{_THIS} AND due_at = $3"


class PostgresCallbacks:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def lease(self, limit: int, *, per_peer: int, busy: Sequence[bytes], lease_s: float) -> list[Callback]:
        rows = await self._database.fetch(_LEASE, list(busy), limit, lease_s, per_peer)
        # Their tasks went after 30 days, and nobody is left who could be told of them.
        for row in rows:
            if row["status"] is None:
                await self._forget(row["user_id"], row["execution_id"])
        return [self._callback(row) for row in rows if row["status"] is not None]

    async def done(self, callback: Callback) -> None:
        async with self._database.transaction() as connection:
            statement = f"DELETE FROM callbacks WHERE {_THIS} RETURNING true"
            if await connection.fetchval(statement, callback.user_id, callback.execution_id):
                await _record(connection, callback, "done")

    async def put_off(self, callback: Callback, delay_s: float) -> None:
        await self._database.execute(
            f"UPDATE callbacks SET attempts = attempts + 1, due_at = now() + make_interval(secs => $4) WHERE {_HELD}",
            *_held(callback),
            delay_s,
        )

    async def is_held(self, callback: Callback) -> bool:
        statement = f"SELECT true FROM callbacks WHERE {_HELD}"
        return bool(await self._database.fetchval(statement, *_held(callback)))

    async def give_up(self, callback: Callback) -> None:
        async with self._database.transaction() as connection:
            statement = f"UPDATE callbacks SET due_at = NULL, attempts = attempts + 1 WHERE {_HELD} RETURNING true"
            if await connection.fetchval(statement, *_held(callback)):
                await _record(connection, callback, "refused")

    async def _forget(self, user_id: UUID, execution_id: UUID) -> None:
        await self._database.execute(f"DELETE FROM callbacks WHERE {_THIS}", user_id, execution_id)

    def _callback(self, row: Any) -> Callback:
        return Callback(
            user_id=row["user_id"],
            execution_id=row["execution_id"],
            url=_opened(self._codec, row["execution_id"], row["url"]),
            peer=row["peer"],
            attempts=row["attempts"],
            held_until=row["due_at"],
            event=_event(row),
        )


def sealed_url(codec: Codec, execution_id: UUID, url: str) -> bytes:
    return codec.seal(url, table="callbacks", column="url", row=execution_id)


def peer_of(url: str, keys_dir: Path) -> bytes:
    """The same for all URLs with one host and port, and nothing to be learned from it."""
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return blind_index(index_key(keys_dir), f"callback {parts.hostname}:{port}")[:_PEER_BYTES]


def _opened(codec: Codec, execution_id: UUID, sealed: bytes) -> str | None:
    try:
        return codec.open_text(sealed, table="callbacks", column="url", row=execution_id)
    except ConfigurationError:
        return None


def _event(row: Any) -> Envelope:
    """Its id is that of the task's one callback, so that a receiver can tell what comes twice."""
    end = _ENDS[row["status"]]
    told = {"task_id": row["execution_id"], "agent": row["agent_type"], "tool": row["task_id"], "reason": row["reason"]}
    return Envelope(
        id=f"msg_{row['execution_id']}",
        source="/functions/deliver_callbacks",
        type=end.type,
        subject=str(row["execution_id"]),
        time=row["finished_at"],
        agent=row["agent_type"],
        sequence=row["version"],
        userid=row["user_id"],
        data=end.model_validate(told).model_dump(mode="json"),
    )


def _held(callback: Callback) -> tuple[object, ...]:
    return callback.user_id, callback.execution_id, callback.held_until


async def _record(connection: Connection, callback: Callback, outcome: Outcome) -> None:
    data = callback.event.data
    on = f"{data['agent']}/{data['tool']}/{data['task_id']}"
    await record_act(connection, actor=callback.user_id, action="task.called_back", on=on, outcome=outcome)
