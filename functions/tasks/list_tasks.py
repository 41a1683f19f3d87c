"""GET /api/v1/tasks: the caller's tasks, newest first."""

from datetime import datetime

from pydantic import AwareDatetime, Field

from shared.function import Caller, Payload, http
from shared.ports.tasks import Status, TaskList, Tasks


class ListTasks(Payload):
    status: Status | None = None
    agent: str | None = Field(default=None, max_length=64)
    since: AwareDatetime | None = None
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/tasks", scope="tasks:read")
async def list_tasks(request: ListTasks, *, caller: Caller, tasks: Tasks) -> TaskList:
    """The caller's tasks, newest first, without their events."""
    since: datetime | None = request.since
    return await tasks.list(
        caller.user_id,
        status=request.status,
        agent=request.agent,
        since=since,
        limit=request.limit,
        cursor=request.cursor,
    )
