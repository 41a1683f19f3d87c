"""GET /api/v1/schedules: the caller's schedules, or those of all users, newest first."""

from pydantic import Field

from shared.function import Caller, http
from shared.identity import authorize
from shared.payload import Payload
from shared.ports.schedules import ScheduleList, Schedules


class ListSchedules(Payload):
    all: bool = False
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/schedules", scope="schedules:read")
async def list_schedules(request: ListSchedules, *, caller: Caller, schedules: Schedules) -> ScheduleList:
    """The caller's schedules, newest first; `all` needs the scope `schedules:all`."""
    if request.all:
        authorize(caller, "schedules:all")
    owner = None if request.all else caller.user_id
    return await schedules.list(owner=owner, limit=request.limit, cursor=request.cursor)
