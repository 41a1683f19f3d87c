"""What happens to tasks."""

from typing import ClassVar
from uuid import UUID

from events.base import Event


class TaskQueued(Event):
    """The wake-up: some tasks of an agent can be claimed. It names none, so losing or doubling it changes nothing."""

    type: ClassVar[str] = "task.queued.v1"
    agent: str
    wanted: int


class _TaskChanged(Event):
    task_id: UUID
    agent: str
    tool: str


class TaskSubmitted(_TaskChanged):
    type: ClassVar[str] = "task.submitted.v1"


class TaskStarted(_TaskChanged):
    type: ClassVar[str] = "task.started.v1"
    attempt: int


class TaskRequeued(_TaskChanged):
    """A worker was lost, or an error passes with time."""

    type: ClassVar[str] = "task.requeued.v1"
    reason: str


class TaskSucceeded(_TaskChanged):
    type: ClassVar[str] = "task.succeeded.v1"


class TaskFailed(_TaskChanged):
    type: ClassVar[str] = "task.failed.v1"
    reason: str


class TaskCancelled(_TaskChanged):
    type: ClassVar[str] = "task.cancelled.v1"


class TaskExpired(_TaskChanged):
    type: ClassVar[str] = "task.expired.v1"
