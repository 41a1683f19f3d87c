"""DELETE /api/v1/schedules/{schedule_id}: no more runs; the tasks that it made stay."""

from uuid import UUID

from pydantic import BaseModel

from functions.schedules._whose import not_found, owner_of
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.schedules import Schedules


class DeleteSchedule(Payload):
    schedule_id: UUID


class Deleted(BaseModel):
    deleted: int


@http("DELETE", "/api/v1/schedules/{schedule_id}", scope="schedules:write")
async def delete_schedule(request: DeleteSchedule, *, caller: Caller, schedules: Schedules) -> Deleted:
    if not await schedules.remove(request.schedule_id, owner=owner_of(caller), actor=caller.user_id):
        raise not_found(request.schedule_id)
    return Deleted(deleted=1)
