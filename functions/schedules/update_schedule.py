"""PATCH /api/v1/schedules/{schedule_id}: another time, another task, a pause or its end."""

from uuid import UUID

from pydantic import JsonValue

from functions.schedules._times import Cron, EveryS, Name, Timezone
from functions.schedules._whose import not_found, owner_of
from shared.asked import Name as AskedName
from shared.asked import Priority, TimeoutMs, check_asked
from shared.errors import Invalid
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.schedules import CatchUp, Schedule, ScheduleChange, Schedules


class UpdateSchedule(Payload):
    """What is left out stays as it is; a cron replaces an interval, an interval a cron."""

    schedule_id: UUID
    name: Name | None = None
    cron: Cron | None = None
    every_s: EveryS | None = None
    timezone: Timezone | None = None
    agent_id: AskedName | None = None
    task: AskedName | None = None
    parameters: dict[str, JsonValue] | None = None
    priority: Priority | None = None
    timeout: TimeoutMs | None = None
    catch_up: CatchUp | None = None
    paused: bool | None = None


@http("PATCH", "/api/v1/schedules/{schedule_id}", scope="schedules:write")
async def update_schedule(request: UpdateSchedule, *, caller: Caller, schedules: Schedules) -> Schedule:
    """After another time, and after a pause, the next run counts from now: nothing is made up for."""
    owner, change = owner_of(caller), _change(request)
    was = await schedules.get(request.schedule_id, owner=owner)
    if was is None:
        await schedules.refused("update_schedule", request.schedule_id, actor=caller.user_id)
        raise not_found(request.schedule_id)
    if change == ScheduleChange():
        raise Invalid("nothing is given that would change")
    if change.agent or change.tool or change.parameters is not None or change.paused is False:
        parameters = was.parameters if request.parameters is None else request.parameters
        check_asked(change.agent or was.agent_id, change.tool or was.task, parameters, scopes=caller.scopes)
    changed = await schedules.change(request.schedule_id, change, owner=owner, actor=caller.user_id)
    if changed is None:
        raise not_found(request.schedule_id)
    return changed


def _change(request: UpdateSchedule) -> ScheduleChange:
    given = request.model_dump(exclude={"schedule_id", "agent_id", "task", "timeout"})
    return ScheduleChange(agent=request.agent_id, tool=request.task, timeout_ms=request.timeout, **given)
