"""Schedules as rows; each act with its audit line in one transaction."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from shared import strict_json
from shared.crypto import Codec
from shared.errors import ConfigurationError, Conflict, NotFound
from shared.paging import cursor_of, cursor_values
from shared.ports.schedules import (
    LastRun,
    NewSchedule,
    Planned,
    Schedule,
    ScheduleChange,
    ScheduleList,
    Turn,
)
from shared.recurrence import Recurrence
from shared.stores.postgres.database import Connection, Database
from shared.stores.postgres.outbox import record_act
from shared.strict_json import Json

logger = logging.getLogger("sutazai.schedules")

MOST_PER_USER = 1000
# As long as a turn may take before another runner looks at the same schedule; runs are keyed, so none doubles.
_HELD_S = 10.0
_UNREADABLE_RETRY_S = 300.0

_OWN = "s.id = $1 AND ($2::uuid IS NULL OR s.user_id = $2)"
_ONE = f"SELECT s.*, now() AS now FROM schedules s WHERE {_OWN}"
_PLAN = f"SELECT s.*, u.roles, u.is_active, now() AS now FROM schedules s JOIN users u ON u.id = s.user_id WHERE {_OWN}"
_PAGE = """
SELECT s.* FROM schedules s WHERE ($1::uuid IS NULL OR s.user_id = $1)
AND ($2::timestamptz IS NULL OR (s.created_at, s.id) < ($2, $3::uuid))
ORDER BY s.created_at DESC, s.id DESC LIMIT $4"""

_WRITTEN = (
    *("name", "cron", "every_s", "timezone", "agent_type", "task_id", "parameters", "priority", "timeout_ms"),
    *("catch_up", "next_run_at"),
)
_INSERT = f"""
INSERT INTO schedules AS s (id, user_id, {", ".join(_WRITTEN)})
VALUES ($1, $2, {", ".join(f"${n}" for n in range(3, 3 + len(_WRITTEN)))}) RETURNING s.*"""
_UPDATE = f"""
UPDATE schedules s SET {", ".join(f"{column} = ${n}" for n, column in enumerate(_WRITTEN, 2))},
    not_before = NULL, refusals = 0
WHERE s.id = $1 RETURNING s.*"""

_TAKE_DUE = """
WITH picked AS MATERIALIZED (
    SELECT id FROM schedules WHERE next_run_at <= now() AND coalesce(not_before <= now(), true)
    ORDER BY next_run_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE schedules s SET not_before = now() + make_interval(secs => $2)
FROM picked, users u WHERE s.id = picked.id AND u.id = s.user_id
RETURNING s.*, u.roles, u.is_active, now() AS now"""

_SETTLE = """
UPDATE schedules SET next_run_at = $3, not_before = now() + make_interval(secs => $4),
    refusals = CASE WHEN $4::float8 IS NULL THEN 0 ELSE refusals + 1 END, last_error = $5,
    last_run_at = CASE WHEN $6::uuid IS NULL THEN last_run_at ELSE greatest(last_run_at, $7) END,
    last_task_id = CASE WHEN $6::uuid IS NULL OR last_run_at > $7 THEN last_task_id ELSE $6 END
WHERE id = $1 AND next_run_at = $2 RETURNING true"""
_RAN = """
UPDATE schedules SET last_run_at = $2, last_task_id = $3 WHERE id = $1 AND coalesce(last_run_at <= $2, true)"""


class PostgresSchedules:
    def __init__(self, *, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    async def add(self, new: NewSchedule) -> Schedule:
        schedule_id, row = uuid4(), None
        async with self._database.transaction() as connection:
            # One after the other for each user, so that two at once cannot both be the last that fits.
            if not await connection.fetchval("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", new.user_id):
                raise NotFound(f"no user {str(new.user_id)!r}")
            counted = "SELECT count(*) AS own, now() AS now FROM schedules WHERE user_id = $1"
            there = await connection.fetchrow(counted, new.user_id)
            assert there is not None
            first = new.recurrence.first(there["now"])
            if there["own"] < MOST_PER_USER:
                values = self._values(schedule_id, new, None if new.paused else first)
                row = await connection.fetchrow(_INSERT, schedule_id, new.user_id, *values)
            await _record(connection, new.user_id, "create_schedule", schedule_id, done=row is not None)
        if row is None:
            raise Conflict(f"a user has at most {MOST_PER_USER} schedules: delete one first", limit=MOST_PER_USER)
        return self._schedule(row)

    async def get(self, schedule_id: UUID, *, owner: UUID | None) -> Schedule | None:
        row = await self._database.fetchrow(_ONE, schedule_id, owner)
        return self._schedule(row) if row else None

    async def list(self, *, owner: UUID | None, limit: int, cursor: str | None) -> ScheduleList:
        before = cursor_values(cursor) if cursor else (None, None)
        rows = await self._database.fetch(_PAGE, owner, *before, limit + 1)
        more = cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
        return ScheduleList(schedules=[self._schedule(row) for row in rows[:limit]], next_cursor=more)

    async def change(
        self, schedule_id: UUID, change: ScheduleChange, *, owner: UUID | None, actor: UUID
    ) -> Schedule | None:
        changed = None
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(f"{_ONE} FOR UPDATE", schedule_id, owner)
            if row is not None:
                was = self._schedule(row)
                new = _changed(was, change)
                next_run_at = was.next_run_at
                if new.paused:
                    # Also while it is paused a time that never comes is refused.
                    new.recurrence.first(row["now"])
                    next_run_at = None
                elif next_run_at is None or new.recurrence != was.recurrence:
                    next_run_at = new.recurrence.first(row["now"])
                changed = await connection.fetchrow(_UPDATE, schedule_id, *self._values(schedule_id, new, next_run_at))
            await _record(connection, actor, "update_schedule", schedule_id, done=changed is not None)
        return self._schedule(changed) if changed else None

    async def remove(self, schedule_id: UUID, *, owner: UUID | None, actor: UUID) -> bool:
        async with self._database.transaction() as connection:
            statement = f"DELETE FROM schedules s WHERE {_OWN} RETURNING true"
            removed = await connection.fetchval(statement, schedule_id, owner) is True
            await _record(connection, actor, "delete_schedule", schedule_id, done=removed)
        return removed

    async def refused(self, action: str, schedule_id: UUID, *, actor: UUID) -> None:
        async with self._database.transaction() as connection:
            await _record(connection, actor, action, schedule_id, done=False)

    async def plan(self, schedule_id: UUID, *, owner: UUID | None) -> Planned | None:
        row = await self._database.fetchrow(_PLAN, schedule_id, owner)
        return self._planned(row) if row else None

    async def ran(self, planned: Planned, task_id: UUID, *, actor: UUID) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(_RAN, planned.schedule.id, planned.now, task_id)
            await _record(connection, actor, "run_schedule", planned.schedule.id)

    async def take_due(self, limit: int) -> Sequence[Planned]:
        found = []
        for row in await self._database.fetch(_TAKE_DUE, limit, _HELD_S):
            try:
                found.append(self._planned(row))
            except ConfigurationError:
                # Its key is gone, or newer than this version: the others can still run.
                logger.exception("the parameters of schedule %s cannot be read", row["id"])
                planned_at, error = row["next_run_at"], "its parameters cannot be read"
                turn = Turn(next_run_at=planned_at, error=error, retry_in_s=_UNREADABLE_RETRY_S)
                async with self._database.connection() as connection:
                    await _settle(connection, row["id"], planned_at, row["now"], turn)
        return sorted(found, key=lambda planned: planned.schedule.next_run_at or planned.now)

    async def settle(self, planned: Planned, turn: Turn) -> bool:
        schedule = planned.schedule
        # Once for each reason: what is refused every second would bury the other lines.
        is_news = turn.refused and turn.error != schedule.last_error
        async with self._database.transaction() if is_news else self._database.connection() as connection:
            settled = await _settle(connection, schedule.id, schedule.next_run_at, planned.now, turn)
            if settled and is_news:
                await _record(connection, schedule.user_id, "start_due_tasks", schedule.id, done=False)
        return settled

    def _values(self, schedule_id: UUID, new: NewSchedule, next_run_at: datetime | None) -> tuple[Any, ...]:
        when = new.recurrence
        parameters = strict_json.dump(dict(new.parameters))
        sealed = self._codec.seal(parameters, table="schedules", column="parameters", row=schedule_id)
        return (
            *(new.name, when.cron, when.every_s, when.timezone, new.agent, new.tool, sealed, new.priority),
            *(new.timeout_ms, new.catch_up, next_run_at),
        )

    def _parameters(self, row: Any) -> dict[str, Json]:
        sealed = self._codec.open(row["parameters"], table="schedules", column="parameters", row=row["id"])
        parameters = strict_json.load(sealed)
        assert isinstance(parameters, dict)
        return parameters

    def _schedule(self, row: Any) -> Schedule:
        last_run = LastRun(at=row["last_run_at"], task_id=row["last_task_id"]) if row["last_run_at"] else None
        return Schedule.model_validate(
            {
                **row,
                "agent_id": row["agent_type"],
                "task": row["task_id"],
                "parameters": self._parameters(row),
                "timeout": row["timeout_ms"],
                "paused": row["next_run_at"] is None,
                "last_run": last_run,
            }
        )

    def _planned(self, row: Any) -> Planned:
        return Planned(
            schedule=self._schedule(row),
            roles=frozenset(row["roles"]),
            is_active=row["is_active"],
            refusals=row["refusals"],
            now=row["now"],
        )


_UNGIVEN = {"cron": None, "every_s": None}


def _changed(was: Schedule, change: ScheduleChange) -> NewSchedule:
    """Raises Invalid for a recurrence that is none."""
    given = {name: value for name, value in asdict(change).items() if value is not None}
    kept = {"cron": was.cron, "every_s": was.every_s}
    when = {name: given.pop(name, None) for name in kept}
    timezone = given.pop("timezone", was.timezone)
    unchanged = {
        **was.model_dump(include={"user_id", "name", "parameters", "priority", "catch_up", "paused"}),
        "agent": was.agent_id,
        "tool": was.task,
        "timeout_ms": was.timeout,
    }
    recurrence = Recurrence(**(kept if when == _UNGIVEN else when), timezone=timezone)
    return NewSchedule(**{**unchanged, **given}, recurrence=recurrence)


async def _settle(connection: Connection, schedule_id: UUID, seen: datetime | None, at: datetime, turn: Turn) -> bool:
    values = (turn.next_run_at, turn.retry_in_s, turn.error, turn.task_id, at)
    settled = await connection.fetchval(_SETTLE, schedule_id, seen, *values) is True
    if not settled and turn.task_id is not None:
        # It did run, though by now somebody has given it another time.
        await connection.execute(_RAN, schedule_id, at, turn.task_id)
    return settled


async def _record(connection: Connection, actor: UUID, action: str, schedule_id: UUID, *, done: bool = True) -> None:
    name, on = f"schedules.{action}", f"schedule:{schedule_id}"
    await record_act(connection, actor=actor, action=name, on=on, outcome="done" if done else "refused")
