"""Schedules: tasks that come again, by a cron expression or every so many seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, JsonValue

from shared.recurrence import Recurrence
from shared.strict_json import Json

CatchUp = Literal["skip", "once", "all"]


class LastRun(BaseModel):
    at: datetime
    task_id: UUID


class Schedule(BaseModel):
    """`timeout` is in ms. `next_run_at` is None while it is paused; `last_error` is of its last turn."""

    id: UUID
    user_id: UUID
    name: str
    cron: str | None
    every_s: int | None
    timezone: str
    agent_id: str
    task: str
    parameters: dict[str, JsonValue]
    priority: int
    timeout: int
    catch_up: CatchUp
    paused: bool
    next_run_at: datetime | None
    last_run: LastRun | None
    last_error: str | None
    created_at: datetime

    @property
    def recurrence(self) -> Recurrence:
        return Recurrence(self.cron, self.every_s, self.timezone)


class ScheduleList(BaseModel):
    schedules: list[Schedule]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    user_id: UUID
    name: str = ""
    recurrence: Recurrence
    agent: str
    tool: str
    parameters: Mapping[str, Json] = field(repr=False)
    priority: int = 4
    timeout_ms: int = 30_000
    catch_up: CatchUp = "once"
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChange:
    """None leaves a field as it is; a cron replaces an interval, an interval a cron."""

    name: str | None = None
    cron: str | None = None
    every_s: int | None = None
    timezone: str | None = None
    agent: str | None = None
    tool: str | None = None
    parameters: Mapping[str, Json] | None = field(default=None, repr=False)
    priority: int | None = None
    timeout_ms: int | None = None
    catch_up: CatchUp | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A schedule with what decides about its runs: its owner's rights of `now`, and how often it was refused."""

    schedule: Schedule
    roles: frozenset[str]
    is_active: bool
    refusals: int
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What came of a due schedule. `task_id` is of its last run in this turn.

    With `retry_in_s` it is looked at again then; `refused`: its owner may not, or the tool does not take it.
    """

    next_run_at: datetime
    task_id: UUID | None = None
    error: str | None = None
    retry_in_s: float | None = None
    refused: bool = False


class Schedules(Protocol):
    """`owner` None stands for all users. Each act leaves its audit line in the same transaction."""

    async def add(self, new: NewSchedule) -> Schedule:
        """Raises Invalid for a recurrence that never comes, and Conflict where the user has too many."""

    async def get(self, schedule_id: UUID, *, owner: UUID | None) -> Schedule | None: ...

    async def list(self, *, owner: UUID | None, limit: int, cursor: str | None) -> ScheduleList:
        """Newest first. Raises Invalid for a cursor that is none of ours."""

    async def change(
        self, schedule_id: UUID, change: ScheduleChange, *, owner: UUID | None, actor: UUID
    ) -> Schedule | None:
        """A new time, and the end of a pause, count from now. Raises Invalid for a recurrence that never comes."""

    async def remove(self, schedule_id: UUID, *, owner: UUID | None, actor: UUID) -> bool: ...

    async def refused(self, action: str, schedule_id: UUID, *, actor: UUID) -> None:
        """Records an act that was refused."""

    async def plan(self, schedule_id: UUID, *, owner: UUID | None) -> Planned | None:
        """What a run of now needs to know; the schedule may be paused."""

    async def ran(self, planned: Planned, task_id: UUID, *, actor: UUID) -> None:
        """Records a run outside the plan."""

    async def take_due(self, limit: int) -> Sequence[Planned]:
        """Those whose time has come, longest due first; for 10 s nobody else gets them."""

    async def settle(self, planned: Planned, turn: Turn) -> bool:
        """Ends the turn of what `take_due` gave. False when the plan has changed meanwhile: then it stays so."""
