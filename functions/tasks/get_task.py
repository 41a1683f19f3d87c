"""GET /api/v1/tasks/{task_id}: one task with its result."""

from uuid import UUID

from shared.errors import NotFound
from shared.function import HOT, Caller, http
from shared.payload import Payload
from shared.ports.tasks import Task, Tasks


class GetTask(Payload):
    task_id: UUID


@http("GET", "/api/v1/tasks/{task_id}", scope="tasks:read", scale=HOT)
async def get_task(request: GetTask, *, caller: Caller, tasks: Tasks) -> Task:
    """One task with its attempts, timings, result or error, and events."""
    task = await tasks.get(caller.user_id, request.task_id)
    if task is None:
        raise NotFound(f"no task {request.task_id!s}")
    return task
