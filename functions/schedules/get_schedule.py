"""GET /api/v1/schedules/{schedule_id}: one schedule with its next and last run."""

from uuid import UUID

from functions.schedules._whose import not_found, owner_of
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.schedules import Schedule, Schedules


class GetSchedule(Payload):
    schedule_id: UUID


@http("GET", "/api/v1/schedules/{schedule_id}", scope="schedules:read")
async def get_schedule(request: GetSchedule, *, caller: Caller, schedules: Schedules) -> Schedule:
    schedule = await schedules.get(request.schedule_id, owner=owner_of(caller))
    if schedule is None:
        raise not_found(request.schedule_id)
    return schedule
