"""A deadline for each request: what asyncio.timeout does, for a fraction of its 4 us, as it need not be movable."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Self, TypeVar

from shared.alarms import alarms
from shared.running import running_task

T = TypeVar("T")


class Deadline:
    """`with Deadline(seconds):` in a task. Raises TimeoutError when the time is up; other cancels pass through."""

    __slots__ = ("_alarms", "_before", "_passed", "_task")

    def __init__(self, seconds: float) -> None:
        task = running_task()
        self._task = task
        self._before = task.cancelling()
        self._passed = False
        self._alarms = alarms(task.get_loop())
        self._alarms.set(self, seconds, self._pass)

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarms.drop(self)
        # Without this the task would go on as one that somebody wants to end.
        if self._passed and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error


async def to_its_end(work: Coroutine[object, object, T], *, within_s: float) -> T:
    """Whoever is cancelled meanwhile lets it end first, within bounds."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=within_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
