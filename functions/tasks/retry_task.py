"""POST /api/v1/tasks/{task_id}/retry: the same task once more, as a new one."""

import hashlib
from uuid import UUID

from pydantic import BaseModel

from shared.catalog import action
from shared.errors import Conflict, NotFound
from shared.function import Call, Caller, Reply, http
from shared.identity import authorize
from shared.payload import Payload
from shared.ports.tasks import TERMINAL, Status, Tasks, once_more


class RetryTask(Payload):
    task_id: UUID


class Retried(BaseModel):
    task_id: UUID
    agent_id: str
    status: Status
    retry_of: UUID


@http("POST", "/api/v1/tasks/{task_id}/retry", scope="tasks:write", keyed=False)
async def retry_task(request: RetryTask, *, caller: Caller, call: Call, tasks: Tasks) -> Reply[Retried]:
    """The same task once more, as a new one that names the old; 409 while the old one has not ended."""
    old = await tasks.get(caller.user_id, request.task_id)
    if old is None:
        raise NotFound(f"no task {request.task_id!s}")
    if old.status not in TERMINAL:
        raise Conflict(f"the task is still {old.status}", status=old.status)
    try:
        authorize(caller, action(old.agent_id, old.task).tool.scope)
    except LookupError as exc:
        raise NotFound(str(exc)) from None
    key = call.idempotency_key
    digest = hashlib.sha256(old.task_id.bytes).digest() if key else None
    new = once_more(old, caller.user_id, key=f"{key} retry" if key else None, digest=digest)
    [task_id] = await tasks.accept([new])
    return Reply(
        data=Retried(task_id=task_id, agent_id=old.agent_id, status="queued", retry_of=old.task_id), status=202
    )
