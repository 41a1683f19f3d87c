"""Streams that clients of before 2026 may take up again: what breaks off goes on for a while, on whichever replica."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final, Self

from shared import base64url
from shared.asgi import Answer, Request
from shared.connected import WhileConnected
from shared.ids import new_request_id
from shared.mcp.stream import EVENTS, Outbox
from shared.ports.mailboxes import Mailbox, Mailboxes
from shared.strict_json import dump, load

# Somebody who was cut off comes back within that, or not at all.
GRACE_S: Final = 30.0
# The last of it may have been on its way when the connection broke.
_HEARD_S: Final = 5.0
_LOOK_S: Final = 1.0
# Whoever runs it says so at once.
_FOUND_S: Final = 2.0
_QUIET_S: Final = 15.0
_STILL_HERE: Final = b": \n\n"
# Whoever has missed more than that has missed the beginning of it.
_MOST_KEPT: Final = 1000
_RETRY_MS: Final = 1000


class Journal:
    """What has been said on one stream, numbered from 1; 0 only says that it can be taken up again."""

    def __init__(self, tag: str) -> None:
        self._tag = tag.encode()
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=_MOST_KEPT)
        self._number = 0
        self._news = asyncio.Event()
        self._readers = 0
        self._alone_since = time.monotonic()
        self._heard_out = False
        self._let_go = False
        self.over = False

    @property
    def opening(self) -> bytes:
        return b"id: %b.0\nretry: %d\ndata: \n\n" % (self._tag, _RETRY_MS)

    @property
    def is_abandoned(self) -> bool:
        """Nobody has read it for long, or it was heard to its end."""
        alone_s = time.monotonic() - self._alone_since if not self._readers else 0.0
        return alone_s > (_HEARD_S if self._heard_out else GRACE_S)

    def add(self, message: bytes) -> None:
        self._number += 1
        event = b"id: %b.%d\nevent: message\ndata: %b\n\n" % (self._tag, self._number, message)
        self._kept.append((self._number, event))
        self._tell()

    def let_go(self) -> None:
        """Whoever was there from the beginning comes back for the rest."""
        self._let_go = True
        self._tell()

    def end(self) -> None:
        self.over = True
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def read(self, after: int, *, until_let_go: bool = False) -> AsyncGenerator[bytes, None]:
        """To its end, with signs of life while nothing is said."""
        self._readers += 1
        try:
            while True:
                news, over = self._news, self.over
                for number, event in [one for one in self._kept if one[0] > after]:
                    yield event
                    after = number
                if until_let_go and self._let_go and not over:
                    return
                if over:
                    self._heard_out = True
                    return
                if news is self._news and not await _set_within(news, _QUIET_S):
                    yield _STILL_HERE
        finally:
            self._readers -= 1
            self._alone_since = time.monotonic()


class Resumables:
    """The streams that run in this process; those of others are reached by their mailboxes."""

    def __init__(self, *, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await _ended(*self._carrying)

    async def streamed(
        self, work: Coroutine[Any, Any, Answer], outbox: Outbox, request: Request, *, name: str, tag: str
    ) -> Answer:
        """The answer itself where nothing is said before it; else a stream that outlives its connection for a while."""
        task = asyncio.create_task(work)
        try:
            with WhileConnected(request):
                await outbox.news(task)
        except BaseException:
            await _ended(task)
            raise
        if not outbox:
            return task.result()
        journal = Journal(tag)
        carrying = asyncio.create_task(self._carry(name, journal, task, outbox))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)
        return Answer(200, headers=EVENTS, pieces=_begun(journal))

    async def _carry(self, name: str, journal: Journal, task: "asyncio.Task[Answer]", outbox: Outbox) -> None:
        """Until all is said and heard, or until nobody comes back for it: then the work ends too."""
        try:
            async with self._mailboxes.opened(name) as box:
                telling = asyncio.create_task(self._tell_all(box, journal))
                try:
                    while not journal.is_abandoned:
                        await self._take(journal, task, outbox)
                finally:
                    await _ended(telling)
        finally:
            await _ended(task)
            journal.end()

    async def _take(self, journal: Journal, task: "asyncio.Task[Answer]", outbox: Outbox) -> None:
        if journal.over:
            await asyncio.sleep(_LOOK_S)
            return
        try:
            async with asyncio.timeout(_LOOK_S):
                await outbox.news(task)
        except TimeoutError:
            return
        is_done = task.done()
        for message in outbox.messages():
            journal.add(message)
        if outbox.has_let_go and not is_done:
            outbox.has_let_go = False
            journal.let_go()
        if is_done:
            # A call that was cancelled is not answered.
            if not task.cancelled() and (body := task.result().body):
                journal.add(body)
            journal.end()

    async def _tell_all(self, box: Mailbox, journal: Journal) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                asked = load(await box.receive())
                assert isinstance(asked, dict)
                group.create_task(self._tell(journal, int(str(asked["after"])), str(asked["to"])))

    async def _tell(self, journal: Journal, after: int, to: str) -> None:
        reading = journal.read(after)
        try:
            async for piece in reading:
                if not await self._mailboxes.send(to, piece):
                    return
            await self._mailboxes.send(to, b"")
        finally:
            await reading.aclose()

    async def resumed(self, name: str, after: int) -> AsyncGenerator[bytes, None] | None:
        """What was said after that, and goes on to be; None where no such stream is left."""
        mine = new_request_id()
        opened = self._mailboxes.opened(mine)
        box = await opened.__aenter__()
        if not await self._mailboxes.send(name, dump({"after": after, "to": mine}), within_s=_FOUND_S):
            await opened.__aexit__(None, None, None)
            return None

        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                # Silent for so long, whoever runs it is gone, and the call with it.
                while piece := await asyncio.wait_for(box.receive(), 3 * _QUIET_S):
                    yield piece
            except TimeoutError:
                return
            finally:
                await opened.__aexit__(None, None, None)

        return pieces()


async def _begun(journal: Journal) -> AsyncGenerator[bytes, None]:
    yield journal.opening
    reading = journal.read(0, until_let_go=True)
    try:
        async for piece in reading:
            yield piece
    finally:
        await reading.aclose()


def tag_of(request_id: bytes) -> str:
    return base64url.written(request_id)


def place_of(last_event_id: str) -> tuple[bytes, int] | None:
    """The request that a stream answers, and the last that was heard of it; None for what is none of our ids."""
    tag, dot, number = last_event_id.rpartition(".")
    if not dot or not number.isdigit() or not number.isascii() or len(number) > 9 or len(tag) > 1000:
        return None
    try:
        return base64url.read(tag), int(number)
    except ValueError:
        return None


async def _ended(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
