"""Work for a caller who waits ends when the caller goes away."""

import asyncio
from types import TracebackType
from typing import Self

from shared.alarms import alarms
from shared.asgi import Disconnected, Request
from shared.running import running_task

# Looking costs a task; what has ended by then never needs one.
_LOOK_AFTER_S = 0.05


class WhileConnected:
    """`with WhileConnected(request):` in a task, once the body has been read. Raises Disconnected."""

    __slots__ = ("_alarms", "_before", "_left", "_looking", "_request", "_task")

    def __init__(self, request: Request) -> None:
        task = running_task()
        self._request = request
        self._task = task
        self._before = task.cancelling()
        self._left = False
        self._looking: asyncio.Task[None] | None = None
        self._alarms = alarms(task.get_loop())
        self._alarms.set(self, _LOOK_AFTER_S, self._look)

    def _look(self) -> None:
        self._looking = self._task.get_loop().create_task(self._end_with_caller())

    async def _end_with_caller(self) -> None:
        await self._request.gone()
        self._left = True
        self._task.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarms.drop(self)
        if self._looking is not None:
            self._looking.cancel()
        # Also without an error: nobody is there to take the answer.
        if self._left and self._task.uncancel() <= self._before and kind in (None, asyncio.CancelledError):
            raise Disconnected from error
