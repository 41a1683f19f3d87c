"""For clients that speak to a server's standard streams alone: each line goes to the platform over HTTP, and back."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from typing import BinaryIO, Final

from shared.mcp.outgoing import modern_version
from shared.mcp.remote import Answered, Failed, Remote
from shared.mcp.wire import INTERNAL_ERROR, INVALID_REQUEST, PARSE_ERROR
from shared.strict_json import Json

logger = logging.getLogger("sutazai.mcp.stdio")

# What was asked before the input ended is still answered, if it does not take longer.
_LAST_ANSWERS_S = 30.0
_STREAMS: Final = frozenset({"subscriptions/listen"})
_AGAIN_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
Message = dict[str, Json]


class StdioProxy:
    """Speaks for one client. Requests run beside one another; what has no answer keeps its order."""

    def __init__(self, remote: Remote, write: Callable[[bytes], None]) -> None:
        self._remote = remote
        self._write = write
        self._running: dict[str, asyncio.Task[None]] = {}
        self._streams: set[str] = set()
        # The handshake, to be repeated where the server forgets the session.
        self._handshake: list[bytes] = []
        self._heard: asyncio.Task[None] | None = None
        self._renewing = asyncio.Lock()

    async def run(self, lines: "asyncio.Queue[bytes | None]") -> None:
        """Until the input ends."""
        try:
            while (line := await lines.get()) is not None:
                if line.strip():
                    await self._take(line.strip())
            for key in self._streams & self._running.keys():
                self._running[key].cancel()
            if self._running:
                await asyncio.wait(self._running.values(), timeout=_LAST_ANSWERS_S)
        finally:
            tasks = [*self._running.values(), *([self._heard] if self._heard else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._remote.close()

    async def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            self._refuse(None, PARSE_ERROR, "the line is not JSON")
            return
        if not isinstance(message, dict):
            self._refuse(None, INVALID_REQUEST, "the line is not one JSON-RPC message")
            return
        method, asks = message.get("method"), "id" in message and "method" in message
        if method == "notifications/cancelled":
            await self._cancel(message, line)
        elif method == "initialize":
            self._handshake = [line]
            await self._ask(message, line)
        elif asks:
            self._begin(message, line)
        else:
            await self._tell(message, line)

    def _begin(self, message: Message, line: bytes) -> None:
        key = json.dumps(message["id"])
        if key in self._running:
            self._refuse(message["id"], INVALID_REQUEST, "a request with this id is still running")
            return
        task = self._running[key] = asyncio.create_task(self._ask(message, line))
        if message["method"] in _STREAMS:
            self._streams.add(key)
        task.add_done_callback(lambda _: self._end(key))

    def _end(self, key: str) -> None:
        self._running.pop(key, None)
        self._streams.discard(key)

    async def _cancel(self, message: Message, line: bytes) -> None:
        """To end its stream is what cancels a request; servers with a handshake are told as well."""
        params = message.get("params")
        key = json.dumps(params.get("requestId")) if isinstance(params, dict) else ""
        if self._remote.version is not None and modern_version(message) is None:
            await self._tell(message, line)
        if (task := self._running.get(key)) is not None:
            task.cancel()

    async def _tell(self, message: Message, line: bytes) -> None:
        if message.get("method") == "notifications/initialized":
            self._handshake = [*self._handshake[:1], line]
        try:
            await self._sent(message, line, lambda _: None)
        except Failed as exc:
            logger.warning("%s was not taken: %s", message.get("method", "an answer"), exc)
        if message.get("method") == "notifications/initialized" and self._heard is None:
            self._heard = asyncio.create_task(self._hear())

    async def _ask(self, message: Message, line: bytes) -> None:
        try:
            answered = await self._sent(message, line, self._pass)
        except Failed as exc:
            self._refuse(message["id"], INTERNAL_ERROR, str(exc))
            return
        if message.get("method") == "initialize":
            self._remote.begin(answered)
        if answered.body is None:
            self._refuse(message["id"], INTERNAL_ERROR, f"the server answered {answered.status} and nothing else")
        else:
            self._pass(_under(message["id"], answered.body))

    async def _sent(self, message: Message, line: bytes, heard: Callable[[bytes], None]) -> Answered:
        """Once more, in a new session, where the server knows ours no longer."""
        session = self._remote.session
        answered = await self._remote.send(message, line, heard)
        if answered.status != 404 or session is None or modern_version(message) is not None or not self._handshake:
            return answered
        async with self._renewing:
            if self._remote.session == session:
                await self._shake_hands()
        return await self._remote.send(message, line, heard)

    async def _shake_hands(self) -> None:
        logger.info("the session was forgotten; a new one is begun")
        self._remote.forget()
        for line in self._handshake:
            answered = await self._remote.send(json.loads(line), line, lambda _: None)
            if line is self._handshake[0]:
                self._remote.begin(answered)

    async def _hear(self) -> None:
        """What a server of before 2026 says of itself, for as long as it has a stream for that."""
        failures = 0
        while True:
            try:
                if not await self._remote.listen(self._pass):
                    return
                failures = 0
            except Failed as exc:
                logger.info("the stream of notifications broke: %s", exc)
                failures += 1
            await asyncio.sleep(_AGAIN_S[min(failures, len(_AGAIN_S) - 1)])

    def _pass(self, message: bytes) -> None:
        # A line is a message: JSON needs no line ends, and within strings it has none.
        self._write(message.replace(b"\r", b"").replace(b"\n", b" ") + b"\n")

    def _refuse(self, id: Json, code: int, why: str) -> None:
        logger.warning("%s", why)
        error: Json = {"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}
        self._pass(json.dumps(error).encode())


def _under(id: Json, body: bytes) -> bytes:
    """A server that could not tell which request it refuses names none."""
    if b'"error"' not in body:
        return body
    message = json.loads(body)
    if isinstance(message, dict) and message.get("id") is None:
        return json.dumps({**message, "id": id}).encode()
    return body


def read_lines(stream: BinaryIO, lines: "asyncio.Queue[bytes | None]") -> None:
    """In a thread, since a file, a terminal and a pipe can be waited for in that way alone; None is its end."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            for line in stream:
                loop.call_soon_threadsafe(lines.put_nowait, line)
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except RuntimeError:
            # The loop has ended first.
            return

    threading.Thread(target=read, daemon=True).start()
