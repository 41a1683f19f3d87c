"""An answer that may become a stream: only once there is something to say before it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from types import TracebackType
from typing import Any, Final

from shared.asgi import Answer, Headers
from shared.asgi import Request as HttpRequest
from shared.connected import WhileConnected

EVENTS: Final[Headers] = ((b"content-type", b"text/event-stream"),)
# What stands between drops connections on which nothing is said.
_QUIET_S = 15.0
_STILL_HERE: Final = b": \n\n"
# Whoever reads this slowly needs no more of it.
_MOST_UNSENT = 1000


class Outbox:
    """JSON-RPC messages on their way to a client."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._news = asyncio.Event()
        self.has_let_go = False

    def __bool__(self) -> bool:
        return bool(self._waiting) or self.has_let_go

    def let_go(self) -> None:
        """The connection may close: its client comes back for the rest."""
        self.has_let_go = True
        self._news.set()

    def put(self, message: bytes, *, droppable: bool = True) -> None:
        if not droppable or len(self._waiting) < _MOST_UNSENT:
            self._waiting.append(message)
            self._news.set()

    def messages(self) -> list[bytes]:
        """All that waits."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    def take(self) -> bytes:
        """All that waits, as events."""
        return b"".join(map(event, self.messages()))

    async def news(self, work: "asyncio.Task[Any]") -> None:
        """Returns when something waits, or the work is done."""
        self._news.clear()
        if self or work.done():
            return
        work.add_done_callback(self._done)
        try:
            await self._news.wait()
        finally:
            work.remove_done_callback(self._done)

    def _done(self, _: object) -> None:
        self._news.set()


def event(message: bytes) -> bytes:
    return b"event: message\ndata: %b\n\n" % message


async def streamed(work: Coroutine[Any, Any, Answer], outbox: Outbox, request: HttpRequest) -> Answer:
    """The answer itself where nothing is said before it; else a stream that ends with its body."""
    task = asyncio.create_task(work)
    try:
        with WhileConnected(request):
            await outbox.news(task)
    except BaseException:
        await _ended(task)
        raise
    return Answer(200, headers=EVENTS, pieces=_Spoken(task, outbox), end=True) if outbox else task.result()


async def _ended(task: "asyncio.Task[Answer]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class _Spoken(AsyncGenerator[bytes, None]):
    """Closing it ends the work, also before its first piece was taken: a generator would not have begun."""

    def __init__(self, task: "asyncio.Task[Answer]", outbox: Outbox) -> None:
        self._task = task
        self._outbox = outbox
        self._over = False

    async def asend(self, _: None) -> bytes:
        if self._over:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(_QUIET_S):
                await self._outbox.news(self._task)
        except TimeoutError:
            return _STILL_HERE
        if self._outbox:
            return self._outbox.take()
        self._over = True
        # A call that was cancelled is not answered.
        if self._task.cancelled() or not (body := self._task.result().body):
            raise StopAsyncIteration
        return event(body)

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> bytes:
        await self.aclose()
        raise kind

    async def aclose(self) -> None:
        self._over = True
        await _ended(self._task)
