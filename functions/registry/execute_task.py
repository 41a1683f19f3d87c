"""POST /api/v1/agents/execute: asks an agent for a task, or agents for up to a hundred."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel, JsonValue, RootModel

from functions.registry._asked import AskedTask, AskedTasks, AskedWaiting
from shared.function import Call, Caller, Reply, http
from shared.ports.tasks import TERMINAL, NewTask, Status, TaskError, Tasks

LONGEST_WAIT_S = 60.0


class Execute(RootModel[AskedWaiting | AskedTasks]):
    """One task, or `tasks`."""


class Execution(BaseModel):
    """`execution_time` is in ms."""

    task_id: UUID
    agent_id: str
    status: Status
    result: JsonValue = None
    error: TaskError | None = None
    execution_time: float | None = None


class Executions(BaseModel):
    tasks: list[Execution]


@http("POST", "/api/v1/agents/execute", scope="agents:execute", keyed=False, timeout_s=75)
async def execute_task(request: Execute, *, caller: Caller, call: Call, tasks: Tasks) -> Reply[Execution | Executions]:
    """Asks an agent for a task: 202 once it cannot be lost any more, 200 once it has ended where the caller waits."""
    asked = request.root
    if isinstance(asked, AskedTasks):
        new = _new(asked.tasks, caller, call, asked.model_dump_json())
        ids = await tasks.accept(new)
        queued = [Execution(task_id=i, agent_id=n.agent, status="queued") for i, n in zip(ids, new, strict=True)]
        return Reply(data=Executions(tasks=queued), status=202, message="queued")
    [new_task] = _new([asked], caller, call, asked.model_dump_json())
    [task_id] = await tasks.accept([new_task])
    execution = Execution(task_id=task_id, agent_id=asked.agent_id, status="queued")
    if (wait_s := _wait_s(asked, call)) and (task := await tasks.wait(caller.user_id, task_id, wait_s)):
        execution = Execution.model_validate(task.model_dump(include=set(Execution.model_fields)))
    return Reply(data=execution, status=200 if execution.status in TERMINAL else 202, message=execution.status)


def _new(asked: Sequence[AskedTask], caller: Caller, call: Call, body: str) -> list[NewTask]:
    """A caller's key covers the whole request; with a blank in it, a task's own can be no other key of theirs."""
    key = call.idempotency_key
    digest = hashlib.sha256(body.encode()).digest() if key else None
    return [
        one.new(caller, key=f"{key} {position}" if key else None, digest=digest) for position, one in enumerate(asked)
    ]


def _wait_s(asked: AskedWaiting, call: Call) -> float:
    longest = min(asked.timeout / 1000, LONGEST_WAIT_S)
    if call.wait_s is not None:
        return min(call.wait_s, longest)
    return longest if asked.wait else 0.0
