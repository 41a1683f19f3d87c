"""A deadline for each request: what asyncio.timeout does, for a quarter of its 4 us, as it need not be movable."""

import asyncio
from types import TracebackType
from typing import Self


class Deadline:
    """`with Deadline(seconds):` in a task. Raises TimeoutError when the time is up; other cancels pass through."""

    __slots__ = ("_before", "_handle", "_passed", "_task")

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "a deadline ends a task"
        self._task = task
        self._before = task.cancelling()
        self._passed = False
        self._handle = task.get_loop().call_later(seconds, self._pass)

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        # Without this the task would go on as one that somebody wants to end.
        if self._passed and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error
