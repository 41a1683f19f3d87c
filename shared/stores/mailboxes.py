"""Mailboxes over the hints that processes send one another: sealed, in pieces that a hint can carry."""

import asyncio
import base64
import binascii
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Self

from shared.crypto import Codec
from shared.errors import ConfigurationError
from shared.ports.signals import Signals

# PostgreSQL takes 8,000 bytes in one hint.
_PIECE = 7000
_MOST_UNREAD = 16


class _Box:
    """`coming`: by message, the pieces that are there, which come in any order."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue(_MOST_UNREAD)
        self.coming: dict[str, dict[int, str]] = {}
        self.taken: set[str] = set()

    async def receive(self) -> bytes:
        return await self.messages.get()


class SignalledMailboxes:
    """Every process hears every piece, and keeps those to its own boxes."""

    def __init__(self, *, signals: Signals, codec: Codec) -> None:
        self._signals = signals
        self._codec = codec
        self._boxes: dict[str, _Box] = {}
        self._sent: dict[str, asyncio.Future[None]] = {}
        self._stack = AsyncExitStack()
        self._beginning = asyncio.Lock()
        self._listens = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[_Box]:
        await self._listen()
        box = _Box()
        self._boxes[name] = box
        try:
            yield box
        finally:
            if self._boxes.get(name) is box:
                del self._boxes[name]

    async def send(self, name: str, content: bytes, *, within_s: float = 5.0) -> bool:
        await self._listen()
        number = os.urandom(9).hex()
        sealed = self._codec.seal(content, table="mailbox", column="content", row=name)
        text = base64.b64encode(sealed).decode()
        pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
        taken = self._sent[number] = asyncio.get_running_loop().create_future()
        try:
            for place, piece in enumerate(pieces):
                self._signals.send("mailbox", f"{name} {number} {place} {len(pieces)} {piece}")
            async with asyncio.timeout(within_s):
                await taken
        except TimeoutError:
            return False
        finally:
            del self._sent[number]
        return True

    async def _listen(self) -> None:
        async with self._beginning:
            if not self._listens:
                await self._stack.enter_async_context(self._signals.listening("mailbox", self._hear))
                self._listens = True

    def _hear(self, payload: str | None) -> None:
        parts = (payload or "").split(" ")
        if parts[0] == "taken" and len(parts) == 2:
            waiting = self._sent.get(parts[1])
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        elif len(parts) == 5 and (box := self._boxes.get(parts[0])) is not None:
            # Whoever can send hints can send anything.
            with suppress(ValueError, KeyError, binascii.Error, ConfigurationError):
                self._put(box, *parts)

    def _put(self, box: _Box, name: str, number: str, place: str, count: str, piece: str) -> None:
        if number in box.taken:
            return
        pieces = box.coming.setdefault(number, {})
        pieces[int(place)] = piece
        if len(pieces) < int(count):
            return
        del box.coming[number]
        sealed = base64.b64decode("".join(pieces[at] for at in range(int(count))), validate=True)
        content = self._codec.open(sealed, table="mailbox", column="content", row=name)
        with suppress(asyncio.QueueFull):
            box.messages.put_nowait(content)
            box.taken.add(number)
            self._signals.send("mailbox", f"taken {number}")
