"""Work that is cheaper together: what arrives while a batch runs makes up the next, so nothing waits for a timer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class Batcher(Generic[I, O]):
    """`run` gets up to `size` items and returns as many results, each a value or the exception for its item."""

    def __init__(
        self, run: Callable[[Sequence[I]], Awaitable[Sequence[O | Exception]]], *, size: int, parallel: int = 1
    ) -> None:
        self._run = run
        self._size = size
        self._parallel = parallel
        self._waiting: list[tuple[I, asyncio.Future[O]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: I) -> O:
        """Raises what the batch raised. A caller that is cancelled leaves its item in the batch."""
        result: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if len(self._running) < self._parallel:
            task = asyncio.create_task(self._drain())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await result

    async def _drain(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            try:
                results = await self._run([item for item, _ in batch])
            except BaseException as exc:
                results = [exc if isinstance(exc, Exception) else asyncio.CancelledError()] * len(batch)  # type: ignore[list-item]
                if not isinstance(exc, Exception):
                    _settle(batch, results)
                    raise
            _settle(batch, results)

    async def close(self) -> None:
        """Returns once everything submitted has been run."""
        while self._running:
            await asyncio.wait(self._running)


def _settle(batch: Sequence[tuple[I, "asyncio.Future[O]"]], results: Sequence[O | Exception]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if future.done():
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
