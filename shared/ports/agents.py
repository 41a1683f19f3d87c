"""How agents fare, from what was really executed and which workers are alive."""

from collections.abc import Collection
from datetime import datetime
from typing import Literal, Protocol

from pydantic import BaseModel

Status = Literal["ready", "busy", "idle", "failing"]


class AgentHealth(BaseModel):
    active_tasks: int
    queued_tasks: int
    last_seen: datetime | None
    cold_start_ms: float | None


class AgentMetrics(BaseModel):
    """Over the last 24 hours; `average_execution_time` in ms, `current_load` tasks now running per live worker."""

    total: int
    succeeded: int
    failed: int
    average_execution_time: float | None
    current_load: float


class AgentFare(BaseModel):
    """`uptime` in seconds, of the worker that has been alive longest."""

    agent_id: str
    status: Status
    uptime: float
    health: AgentHealth
    metrics: AgentMetrics
    last_health_check: datetime


class Agents(Protocol):
    async def fare(self, names: Collection[str]) -> dict[str, AgentFare]:
        """One for each name, also for an agent that nobody has asked yet."""
