"""Asking agents for tasks: the same over HTTP and over a socket."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue, RootModel

from shared.asked import Asked, check_asked
from shared.callback_url import CallbackUrl
from shared.catalog import action
from shared.function import Caller
from shared.payload import Payload
from shared.ports.limits import Limits
from shared.ports.tasks import NewTask, Status, TaskError, Tasks
from shared.tool_limits import count_call

LONGEST_WAIT_S = 60.0


class AskedTask(Asked):
    """`timeout` is in ms and bounds the run, `ttl_s` the wait for it to start.

    `callback_url` gets the ended task by POST, as a CloudEvent signed by Standard Webhooks (`v1a`, with the key of
    `/.well-known/jwks.json` that `webhook-key-id` names); if need be seven times within three hours, until it answers
    2xx. 410 ends it.
    """

    ttl_s: float = Field(default=3600, gt=0, le=30 * 86_400)
    callback_url: CallbackUrl | None = None

    def new(self, caller: Caller, *, key: str | None, digest: bytes | None) -> NewTask:
        """Raises NotFound for no such agent or tool, Forbidden, and Invalid for what the tool does not take."""
        check_asked(self.agent_id, self.task, self.parameters, scopes=caller.scopes)
        return NewTask(
            user_id=caller.user_id,
            agent=self.agent_id,
            tool=self.task,
            parameters=self.parameters,
            priority=self.priority,
            timeout_ms=self.timeout,
            ttl_s=self.ttl_s,
            key=key,
            digest=digest,
            callback_url=self.callback_url,
        )


class AskedTasks(Payload):
    tasks: list[AskedTask] = Field(min_length=1, max_length=100)


class AskedWaiting(AskedTask):
    """`wait`: the answer is the ended task, if it ends within 60 s and the timeout."""

    wait: bool = False


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


async def execute(
    request: Execute, *, caller: Caller, key: str | None, wait_s: float | None, tasks: Tasks, limits: Limits
) -> Execution | Executions:
    """Accepts what is asked for. `wait_s`, where given, counts instead of the request's own `wait`."""
    asked = request.root
    if isinstance(asked, AskedTasks):
        new = _new(asked.tasks, caller, key, asked.model_dump_json())
        await _count(asked.tasks, caller, limits)
        ids = await tasks.accept(new)
        queued = [Execution(task_id=i, agent_id=n.agent, status="queued") for i, n in zip(ids, new, strict=True)]
        return Executions(tasks=queued)
    [new_task] = _new([asked], caller, key, asked.model_dump_json())
    await _count([asked], caller, limits)
    [task_id] = await tasks.accept([new_task])
    if (patience_s := _patience_s(asked, wait_s)) and (task := await tasks.wait(caller.user_id, task_id, patience_s)):
        return Execution.model_validate(task.model_dump(include=set(Execution.model_fields)))
    return Execution(task_id=task_id, agent_id=asked.agent_id, status="queued")


def _new(asked: Sequence[AskedTask], caller: Caller, key: str | None, body: str) -> list[NewTask]:
    """A caller's key covers the whole request; with a blank in it, a task's own can be no other key of theirs."""
    digest = hashlib.sha256(body.encode()).digest() if key else None
    return [
        one.new(caller, key=f"{key} {position}" if key else None, digest=digest) for position, one in enumerate(asked)
    ]


async def _count(asked: Sequence[AskedTask], caller: Caller, limits: Limits) -> None:
    for one in asked:
        await count_call(limits, action(one.agent_id, one.task), caller.user_id)


def _patience_s(asked: AskedWaiting, wait_s: float | None) -> float:
    longest = min(asked.timeout / 1000, LONGEST_WAIT_S)
    if wait_s is not None:
        return min(wait_s, longest)
    return longest if asked.wait else 0.0
