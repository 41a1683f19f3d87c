"""The keeper's hands in the record."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from shared.catalog import agent_names
from shared.config import Settings
from shared.gauges import Gauges
from shared.ports.bus import WakeUp
from shared.ports.signals import Signals
from shared.stores.postgres import queue_sql as sql
from shared.stores.postgres.audit import AuditTrail
from shared.stores.postgres.database import KEEPER_LOCK, Database
from shared.stores.postgres.one_active import one_active

_MOST_WANTED = 32
# Owners with fewer waiting tasks than this are far from every usual bound.
_DEEP = 1000
# Depths are looked at every second by whoever is active; who is not any more has none to show.
_SHOWN_S = 10.0

_NUMBERED_AT_ONCE = 2000
# $1: no event of an earlier transaction is without a number. Without it, each look would pass all index entries of
# events that were numbered since the last vacuum.
_NUMBER = f"""
WITH settled AS (
    SELECT position FROM events
    WHERE seq IS NULL AND xid >= $1::text::xid8 AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, position LIMIT {_NUMBERED_AT_ONCE}
), numbered AS (
    SELECT position, nextval('event_seq') AS seq FROM (SELECT e.position FROM events e JOIN settled USING (position)
    ORDER BY e.xid, e.position) ordered
), written AS (
    UPDATE events e SET seq = n.seq FROM numbered n WHERE e.position = n.position AND e.seq IS NULL RETURNING 1
)
SELECT (SELECT count(*) FROM written) AS numbered, pg_snapshot_xmin(pg_current_snapshot())::text AS settled
"""

_DEPTHS = """
WITH counted AS (
    SELECT agent_type, user_id AS owner, count(*) AS queued, count(rank) AS claimable
    FROM agent_executions WHERE status = 'queued' GROUP BY agent_type, user_id
), totals AS (
    SELECT agent_type, NULL::uuid AS owner, sum(queued)::int AS queued, sum(claimable)::int AS claimable
    FROM counted GROUP BY agent_type
), wanted AS (
    SELECT agent_type, owner, queued FROM totals
    UNION ALL SELECT agent_type, owner, queued FROM counted WHERE queued >= $1
), written AS (
    INSERT INTO queue_depths AS d (agent_type, owner, queued) SELECT agent_type, owner, queued FROM wanted
    ON CONFLICT (agent_type, owner) DO UPDATE SET queued = excluded.queued WHERE d.queued <> excluded.queued
), emptied AS (
    DELETE FROM queue_depths d WHERE NOT EXISTS (
        SELECT FROM wanted w WHERE w.agent_type = d.agent_type AND w.owner IS NOT DISTINCT FROM d.owner)
)
SELECT agent_type, queued, claimable FROM totals
"""

_TRIM = {
    "agent_executions": "DELETE FROM agent_executions WHERE finished_at < now() - interval '30 days'",
    "callbacks": "DELETE FROM callbacks c WHERE created_at < now() - interval '30 days' AND NOT EXISTS ("
    "SELECT FROM agent_executions e WHERE e.user_id = c.user_id AND e.id = c.execution_id)",
    "task_questions": "DELETE FROM task_questions q WHERE asked_at < now() - interval '30 days' AND NOT EXISTS ("
    "SELECT FROM agent_executions e WHERE e.user_id = q.user_id AND e.id = q.execution_id)",
    "task_progress": "DELETE FROM task_progress p WHERE at < now() - interval '1 day' AND NOT EXISTS ("
    "SELECT FROM agent_executions e WHERE e.user_id = p.user_id AND e.id = p.execution_id)",
    "events": "DELETE FROM events WHERE seq IS NOT NULL AND at < now() - interval '30 days' AND seq <= coalesce("
    "(SELECT min(seq) FROM consumers), 0)",
    # Nobody has asked for their events in so long; the events before the last of them may go.
    "consumers": "DELETE FROM consumers WHERE due_at < now() - interval '30 days'"
    " AND seq < (SELECT max(seq) FROM events)",
    "memory_acts": "DELETE FROM memory_acts WHERE at < now() - interval '31 days'",
    "context_acts": "DELETE FROM context_acts WHERE at < now() - interval '31 days'",
    "bank_acts": "DELETE FROM bank_acts WHERE at < now() - interval '31 days'",
    "thought_sessions": "DELETE FROM thought_sessions WHERE expires_at < now()",
    "inbox": "DELETE FROM inbox WHERE at < now() - interval '30 days'",
    "idempotency_keys": "DELETE FROM idempotency_keys WHERE created_at < now() - interval '30 days'",
    "sessions": "DELETE FROM sessions WHERE expires_at < now() - interval '1 day'",
    "ledger": "DELETE FROM ledger WHERE at < now() - interval '30 days'",
}


class PostgresUpkeep:
    def __init__(
        self, *, database: Database, signals: Signals, audit: AuditTrail, settings: Settings, gauges: Gauges
    ) -> None:
        self._database = database
        self._signals = signals
        self._audit = audit
        self._deep = min(_DEEP, settings.max_queued_per_user)
        self._settled = "0"
        self._depths = dict.fromkeys(agent_names(), 0)
        self._looked_at = float("-inf")
        gauges.show("sutazai_queue_depth", "Tasks that wait, by agent.", self._shown, label="agent")

    def active(self) -> AbstractAsyncContextManager[None]:
        return one_active(self._database, KEEPER_LOCK, name="sutazai-keeper", lost="the keeper cannot reach the record")

    async def claimable(self) -> list[WakeUp]:
        rows = await self._database.fetch(_DEPTHS, self._deep)
        # Of an agent none may wait, which is not the same as nobody knowing of any.
        self._depths = {**dict.fromkeys(self._depths, 0), **{row["agent_type"]: row["queued"] for row in rows}}
        self._looked_at = time.monotonic()
        waiting = (row for row in rows if row["claimable"])
        return [WakeUp(row["agent_type"], min(row["claimable"], _MOST_WANTED)) for row in waiting]

    def _shown(self) -> Mapping[str, float]:
        return self._depths if time.monotonic() - self._looked_at < _SHOWN_S else {}

    async def make_due(self) -> Sequence[str]:
        return await self._agents(sql.MAKE_DUE)

    async def clock(self) -> datetime:
        at: datetime = await self._database.fetchval(
            "INSERT INTO turns (name, due_at) VALUES ('reap', now())"
            " ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at RETURNING due_at"
        )
        return at

    async def reap(self, silent_at: datetime | None = None) -> Sequence[str]:
        agents = await self._agents(sql.REAP, silent_at) + await self._agents(sql.REAP_ORPHANS)
        return sorted(set(agents))

    async def _agents(self, statement: str, *args: datetime | None) -> list[str]:
        return [row["agent_type"] for row in await self._database.fetch(statement, *args)]

    async def expire(self) -> int:
        expired = 0
        while True:
            rows = await self._database.fetch(sql.EXPIRE)
            if rows:
                self._signals.send("ended", ",".join(str(row["id"]) for row in rows[:100]))
            expired += len(rows)
            if len(rows) < sql.EXPIRED_AT_ONCE:
                return expired

    async def number(self) -> int:
        row = await self._database.fetchrow(_NUMBER, self._settled)
        assert row is not None
        numbered: int = row["numbered"]
        if numbered < _NUMBERED_AT_ONCE:
            self._settled = row["settled"]
        if numbered:
            self._signals.send("events", "")
        return numbered

    async def seal(self) -> int:
        return await self._audit.seal()

    async def verify(self) -> int | None:
        return await self._audit.verify()

    async def take_turn(self, name: str, every_s: float) -> bool:
        taken = await self._database.fetchval(
            "INSERT INTO turns (name, due_at) VALUES ($1, now() + make_interval(secs => $2))"
            " ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at WHERE turns.due_at <= now() RETURNING true",
            name,
            every_s,
        )
        return taken is True

    async def trim(self) -> Mapping[str, int]:
        return {
            table: int((await self._database.execute(statement)).rpartition(" ")[2])
            for table, statement in _TRIM.items()
        }
