"""POST /api/v1/schedules/{schedule_id}/run: one run now, beside the plan."""

from uuid import UUID

from pydantic import BaseModel

from functions.schedules._runs import check_owner, task_of
from functions.schedules._whose import not_found, owner_of
from shared.asked import check_asked
from shared.function import Call, Caller, http
from shared.payload import Payload
from shared.ports.schedules import Schedules
from shared.ports.tasks import Tasks


class RunSchedule(Payload):
    schedule_id: UUID


class Started(BaseModel):
    task_id: UUID


@http("POST", "/api/v1/schedules/{schedule_id}/run", scope="schedules:write", status=202, keyed=False)
async def run_schedule(
    request: RunSchedule, *, caller: Caller, call: Call, schedules: Schedules, tasks: Tasks
) -> Started:
    """A task of the schedule's owner, also while it is paused; the next run comes when it would have come."""
    planned = await schedules.plan(request.schedule_id, owner=owner_of(caller))
    if planned is None:
        await schedules.refused("run_schedule", request.schedule_id, actor=caller.user_id)
        raise not_found(request.schedule_id)
    schedule = planned.schedule
    check_asked(schedule.agent_id, schedule.task, schedule.parameters, scopes=caller.scopes)
    check_owner(planned)
    # Keys are the owner's, so whose key it is belongs into it.
    key = f"{call.idempotency_key} run {caller.user_id}" if call.idempotency_key else None
    [task_id] = await tasks.accept([task_of(planned, key=key)])
    await schedules.ran(planned, task_id, actor=caller.user_id)
    return Started(task_id=task_id)
