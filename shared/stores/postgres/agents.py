"""How agents fare, read from executions and workers."""

from collections.abc import Collection
from typing import Any

from shared.ports.agents import AgentFare, AgentHealth, AgentMetrics, Status
from shared.stores.postgres.database import Database

# Failing: of the last five ended in ten minutes, at least three by a fault of ours (a tool's own error is none).
_FARE = """
SELECT name,
    w.alive, w.uptime, w.cold_start_ms, greatest(w.last_seen, d.last_ended) AS last_seen,
    (SELECT count(*) FROM agent_executions e WHERE e.agent_type = name AND e.status = 'running'
        AND e.worker_id IN (SELECT id FROM workers)) AS active,
    (SELECT count(*) FROM (SELECT FROM agent_executions e
        WHERE e.agent_type = name AND e.status = 'queued' LIMIT 10000) q) AS queued,
    d.total, d.succeeded, d.failed, d.average_ms, now() AS checked_at,
    (SELECT count(*) FROM (SELECT error ->> 'code' AS code FROM agent_executions e WHERE e.agent_type = name
        AND e.finished_at > now() - interval '10 minutes' ORDER BY finished_at DESC LIMIT 5) last
        WHERE code IN ('INTERNAL_ERROR', 'WORKER_LOST', 'TIMEOUT', 'SERVICE_UNAVAILABLE')) AS faults
FROM unnest($1::text[]) AS name
LEFT JOIN LATERAL (
    SELECT count(*) AS alive, extract(epoch FROM now() - min(started_at))::float8 AS uptime,
        avg(cold_start_ms)::float8 AS cold_start_ms, max(alive_until) - make_interval(secs => 3) AS last_seen
    FROM workers WHERE name = ANY(agents) AND alive_until > now()
) w ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS total, count(*) FILTER (WHERE status = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE status = 'failed') AS failed, max(finished_at) AS last_ended,
        (avg(extract(epoch FROM finished_at - started_at)) * 1000)::float8 AS average_ms
    FROM agent_executions e WHERE e.agent_type = name AND e.finished_at > now() - interval '1 day'
) d ON true
"""


class PostgresAgents:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def fare(self, names: Collection[str]) -> dict[str, AgentFare]:
        rows = await self._database.fetch(_FARE, list(names))
        return {row["name"]: _fare(row) for row in rows}


def _status(row: Any) -> Status:
    if row["faults"] >= 3:
        return "failing"
    if row["active"]:
        return "busy"
    return "ready" if row["alive"] else "idle"


def _fare(row: Any) -> AgentFare:
    return AgentFare(
        agent_id=row["name"],
        status=_status(row),
        uptime=row["uptime"] or 0.0,
        health=AgentHealth(
            active_tasks=row["active"],
            queued_tasks=row["queued"],
            last_seen=row["last_seen"],
            cold_start_ms=row["cold_start_ms"],
        ),
        metrics=AgentMetrics(
            total=row["total"],
            succeeded=row["succeeded"],
            failed=row["failed"],
            average_execution_time=row["average_ms"],
            current_load=row["active"] / max(row["alive"], 1),
        ),
        last_health_check=row["checked_at"],
    )
