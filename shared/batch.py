"""Work that is cheaper together: what arrives while a batch runs makes up the next, so nothing waits for a timer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from shared.running import running_loop, running_task

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Batcher(Generic[ItemT, ResultT]):
    """`run` gets up to `size` items and returns as many results, each a value or the exception for its item."""

    def __init__(
        self,
        run: Callable[[Sequence[ItemT]], Awaitable[Sequence[ResultT | Exception]]],
        *,
        size: int,
        parallel: int = 1,
    ) -> None:
        self._run = run
        self._size = size
        self._parallel = parallel
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._running: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._running)

    async def submit(self, item: ItemT) -> ResultT:
        """Raises what the batch raised. A caller that is cancelled leaves its item in the batch."""
        result: asyncio.Future[ResultT] = running_loop().create_future()
        self._waiting.append((item, result))
        if len(self._running) < self._parallel:
            self._running.add(asyncio.create_task(self._drain()))
        return await result

    async def _drain(self) -> None:
        while self._waiting:
            await self._gather()
            batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
            if not batch:
                # Another one that runs beside this has taken it meanwhile.
                continue
            results: Sequence[ResultT | Exception]
            try:
                results = await self._run([item for item, _ in batch])
            except Exception as exc:
                results = [exc] * len(batch)
            _settle(batch, results)
        # In the same step in which nothing was waiting: what comes a step later must find no place taken.
        self._running.discard(running_task())

    async def _gather(self) -> None:
        """Whatever is under way in this turn of the loop comes along: that costs nobody more than its own work."""
        before = 0
        while before < len(self._waiting) < self._size:
            before = len(self._waiting)
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Returns once everything submitted has been run."""
        while self._running:
            await asyncio.wait(self._running)


def _settle(batch: Sequence[tuple[ItemT, "asyncio.Future[ResultT]"]], results: Sequence[ResultT | Exception]) -> None:
    for (_, future), result in zip(batch, results, strict=True):
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
