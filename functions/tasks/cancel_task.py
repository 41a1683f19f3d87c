"""POST /api/v1/tasks/{task_id}/cancel: ends a task that has not ended."""

from uuid import UUID

from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.tasks import Task, Tasks


class CancelTask(Payload):
    task_id: UUID


@http("POST", "/api/v1/tasks/{task_id}/cancel", scope="tasks:write")
async def cancel_task(request: CancelTask, *, caller: Caller, tasks: Tasks) -> Task:
    """Ends a task: from this answer on it is cancelled and stays so; 409 tells how it had ended before."""
    return await tasks.cancel(caller.user_id, request.task_id)
