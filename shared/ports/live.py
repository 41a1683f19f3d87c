"""What changes, told to those who watch: one reader for all of them in a process, however many they are."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.function import Caller
from shared.ports.agents import Status as AgentStatus
from shared.ports.tasks import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A task's new state, or, where `seq` is None, progress in the state it is in.

    `seq` counts the changes of all the user's tasks, with gaps; `sequence` those of this one.
    """

    user_id: UUID
    task_id: UUID
    status: Status
    progress: float
    message: str
    seq: int | None
    sequence: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChange:
    """`current_task` is the watcher's own that runs there, the latest where there are several."""

    agent_id: str
    status: AgentStatus
    current_task: UUID | None
    at: datetime


# They are told in the reader's own step, so they may neither wait nor raise.
TaskHeard = Callable[[TaskChange], None]
AgentHeard = Callable[[AgentChange], None]


class TaskFeed(Protocol):
    def watching(self, user_id: UUID, heard: TaskHeard) -> AbstractAsyncContextManager[int]:
        """`heard` is told every change numbered above the value, in order, and progress at most 4 times a second."""

    async def last_seq(self, user_id: UUID) -> int:
        """The newest of the user's numbers; 0 without any."""

    def replay(self, user_id: UUID, *, after: int, upto: int) -> AsyncIterator[Sequence[TaskChange]]:
        """What is numbered in between, in order. Raises Invalid where `after` was never given to anyone."""

    async def history(self, user_id: UUID, task_id: UUID, *, after: int) -> Sequence[TaskChange] | None:
        """One task's changes with a greater `sequence`, numbered or not; None where the user has no such task."""


class AgentFeed(Protocol):
    def watching(self, user_id: UUID, heard: AgentHeard) -> AbstractAsyncContextManager[None]:
        """`heard` is told of every agent at first, then of those that have changed."""


class SessionWatch(Protocol):
    def watching(self, caller: Caller, changed: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """`changed` is told within a second, once, why the caller is no longer the one they were."""


class SocketCount(Protocol):
    def counted(self, user_id: UUID, *, most: int) -> AbstractAsyncContextManager[bool]:
        """False where the user has `most` open already, in whichever process."""
