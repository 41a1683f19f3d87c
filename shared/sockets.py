"""Sockets at the level of ASGI: who may open one, and what leaves it, within bounds."""

import asyncio
import logging
import resource
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from shared.asgi import Disconnected, Receive, Scope, Send
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.function import Spec, WebSocket
from shared.streams import Closed, Connection
from shared.wiring import Ports

logger = logging.getLogger("sutazai.sockets")

MOST_WAITING = 5_000
MOST_WAITING_BYTES = 1 << 20
# Up to here there is room for what the client asked for.
_ROOM, _ROOM_BYTES = 64, 128 * 1024
# A client that reads takes something in this time.
STALLED_S = 10.0
# For the last frames before a close, so that an error is read before it.
_FAREWELL_S = 1.0
# Frames taken a second, and at once; more of them wait in the client's own buffers.
_PACE, _BURST = 100.0, 200.0

# Half of them are left for all that is no socket.
_MOST_DESCRIPTORS = 20_000

NORMAL, UNSUPPORTED, FAULT, AGAIN, WRONG_ORIGIN = 1000, 1003, 1011, 1013, 4403


class SocketEndpoint:
    """One function with a path for sockets."""

    def __init__(self, spec: Spec) -> None:
        assert isinstance(spec.trigger, WebSocket)
        self.spec = spec
        self.path = spec.trigger.path
        self._ports: dict[str, object] = {}
        self._origins: frozenset[str] = frozenset()
        self._count = self._most = 0

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        self._ports = await ports.of(self.spec)
        self._origins = ports.settings.origins
        self._most = _descriptors() // 2
        yield

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        # A page can only read a close code of a socket that was accepted.
        await send({"type": "websocket.accept"})
        if not _is_from_here(scope, self._origins):
            await send({"type": "websocket.close", "code": WRONG_ORIGIN, "reason": "this origin is not allowed"})
            return
        if self._count >= self._most:
            await send({"type": "websocket.close", "code": AGAIN, "reason": "too many sockets are open here"})
            return
        self._count += 1
        try:
            await SocketConnection(receive, send).run(lambda connection: self.spec.handler(connection, **self._ports))
        finally:
            self._count -= 1


def _descriptors() -> int:
    """As many as this process can have: what it is given at first is often a thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def _is_from_here(scope: Scope, allowed: frozenset[str]) -> bool:
    """Browsers name the page's origin, other clients none; each header may stand there once."""
    origins, hosts = ([value.decode("latin-1") for n, value in scope["headers"] if n == name] for name in _NAMES)
    if not origins:
        return True
    if len(origins) > 1 or len(hosts) != 1:
        return False
    origin = origins[0].lower()
    return origin in allowed or origin in (f"http://{hosts[0].lower()}", f"https://{hosts[0].lower()}")


_NAMES = (b"origin", b"host")


class SocketConnection:
    """A `Connection` over ASGI; see there. An idle one has no task but its handler's."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._main: asyncio.Task[object] | None = None
        self._cancels = 0
        self._ending = False
        self._verdict: Closed | None = None
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._allowance = _BURST
        self._paced_at = asyncio.get_running_loop().time()

    async def run(self, work: Callable[[Connection], Awaitable[None]]) -> None:
        self._main = asyncio.current_task()
        assert self._main is not None
        self._cancels = self._main.cancelling()
        verdict = Closed(NORMAL)
        try:
            await work(self)
        except Disconnected:
            verdict = Closed(0)
        except Closed as closed:
            verdict = closed
        except Unavailable:
            verdict = Closed(AGAIN, "the record cannot be reached now")
        except asyncio.CancelledError:
            if not self._was_closed():
                raise
        except Exception:
            logger.exception("a socket failed")
            verdict = Closed(FAULT, "something went wrong on our side")
        finally:
            self._ending = True
            await self._meet_cancel()
            await self._end(self._verdict or verdict)

    async def _meet_cancel(self) -> None:
        """A close that came while the handler returned would else end what comes after it."""
        assert self._main is not None
        if self._verdict is not None and self._main.cancelling() > self._cancels:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                if not self._was_closed():
                    raise

    def _was_closed(self) -> bool:
        """Whether it was us who cancelled the handler, and nobody else."""
        assert self._main is not None
        return self._verdict is not None and self._main.uncancel() <= self._cancels

    async def receive(self) -> str:
        await self._keep_pace()
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise Disconnected
        text: str | None = message.get("text")
        if text is None:
            raise Closed(UNSUPPORTED, "frames are text")
        return text

    async def _keep_pace(self) -> None:
        now = asyncio.get_running_loop().time()
        self._allowance = min(self._allowance + (now - self._paced_at) * _PACE, _BURST) - 1
        self._paced_at = now
        if self._allowance < 0:
            await asyncio.sleep(-self._allowance / _PACE)

    async def send(self, text: str) -> None:
        while len(self._waiting) > _ROOM or self._waiting_bytes > _ROOM_BYTES:
            if self._room is None:
                self._room = asyncio.Event()
            self._room.clear()
            await self._room.wait()
        self._put(text)

    def push(self, text: str) -> None:
        if self._verdict is None:
            self._put(text)
            if len(self._waiting) > MOST_WAITING or self._waiting_bytes > MOST_WAITING_BYTES:
                self._drop()

    def close(self, code: int, reason: str = "") -> None:
        if self._verdict is None:
            self._verdict = Closed(code, reason)
            if self._main is not None and not self._ending:
                self._main.cancel()

    def _put(self, text: str) -> None:
        self._waiting.append(text)
        self._waiting_bytes += len(text)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Lives for as long as something waits."""
        try:
            while self._waiting:
                text = self._waiting.popleft()
                self._waiting_bytes -= len(text)
                with Deadline(STALLED_S):
                    await self._send({"type": "websocket.send", "text": text})
                if self._room is not None and len(self._waiting) <= _ROOM and self._waiting_bytes <= _ROOM_BYTES:
                    self._room.set()
        except TimeoutError:
            self._drop()
        except OSError:
            # The client is gone, which the handler learns from what it receives.
            self._forget()
        finally:
            self._writer = None

    def _drop(self) -> None:
        self._forget()
        self.close(AGAIN, "the reader is too slow")

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._room is not None:
            self._room.set()

    async def _end(self, verdict: Closed) -> None:
        if writer := self._writer:
            if verdict.code != AGAIN and verdict.code:
                await asyncio.wait([writer], timeout=_FAREWELL_S)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        if verdict.code:
            # ClientDisconnected is an OSError: there is nobody left to tell.
            with suppress(OSError):
                await self._send({"type": "websocket.close", "code": verdict.code, "reason": verdict.reason})
