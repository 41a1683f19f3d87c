"""What comes in one turn of the loop is done together: at once where that is short, else in a thread."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

from shared.running import running_loop

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Drained(Generic[ItemT, ResultT]):
    """As a Batcher, for work that does not wait: with no task and no turn of its own, which cost as much as a search.

    `parallel`: so many threads of the executor at once; what comes meanwhile makes up the next.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ItemT]], Sequence[ResultT]],
        is_long: Callable[[Sequence[ItemT]], bool],
        *,
        executor: Executor,
        size: int,
        parallel: int,
    ) -> None:
        self._run = run
        self._is_long = is_long
        self._executor = executor
        self._size = size
        self._parallel = parallel
        self._waiting: list[tuple[ItemT, asyncio.Future[ResultT]]] = []
        self._seen = 0
        self._is_due = False
        self._running: set[asyncio.Future[Sequence[ResultT]]] = set()

    async def submit(self, item: ItemT) -> ResultT:
        """Raises what the batch raised. A caller that is cancelled leaves its item in the batch."""
        result: asyncio.Future[ResultT] = running_loop().create_future()
        self._waiting.append((item, result))
        self._soon()
        return await result

    async def close(self) -> None:
        """Returns once everything submitted has been run."""
        while self._waiting or self._running:
            await (asyncio.wait(self._running) if self._running else asyncio.sleep(0))

    def _soon(self) -> None:
        if self._waiting and not self._is_due and len(self._running) < self._parallel:
            self._is_due, self._seen = True, 0
            running_loop().call_soon(self._take)

    def _take(self) -> None:
        if self._seen < len(self._waiting) < self._size:
            # As long as more comes with each turn it costs nobody more than its own work.
            self._seen = len(self._waiting)
            running_loop().call_soon(self._take)
            return
        batch, self._waiting = self._waiting[: self._size], self._waiting[self._size :]
        self._is_due = False
        items = [item for item, _ in batch]
        if self._is_long(items):
            running = running_loop().run_in_executor(self._executor, self._run, items)
            self._running.add(running)
            running.add_done_callback(partial(self._ran, batch))
        else:
            _settle(batch, partial(self._run, items))
        self._soon()

    def _ran(
        self, batch: Sequence[tuple[ItemT, "asyncio.Future[ResultT]"]], running: "asyncio.Future[Sequence[ResultT]]"
    ) -> None:
        self._running.discard(running)
        _settle(batch, running.result)
        self._soon()


def _settle(batch: Sequence[tuple[ItemT, "asyncio.Future[ResultT]"]], results: Callable[[], Sequence[ResultT]]) -> None:
    try:
        found = results()
    except (Exception, asyncio.CancelledError) as exc:
        for _, future in batch:
            if not future.done():
                future.set_exception(exc) if isinstance(exc, Exception) else future.cancel()
        return
    for (_, future), result in zip(batch, found, strict=True):
        if not future.done():
            future.set_result(result)
