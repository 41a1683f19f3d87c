"""GET /api/v1/tasks: the caller's tasks, newest first."""

from datetime import datetime
from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.tasks import Status, TaskList, Tasks


def _not_a_number(text: object) -> object:
    """A bare number would be read as seconds since 1970."""
    if isinstance(text, str) and "T" not in text.upper():
        raise ValueError("a time is written as RFC 3339 has it")
    return text


class ListTasks(Payload):
    status: Status | None = None
    agent: str | None = Field(default=None, max_length=64)
    since: Annotated[AwareDatetime, BeforeValidator(_not_a_number)] | None = None
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
