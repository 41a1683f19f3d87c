"""From the gateway to a worker: agents' MCP servers answer here, and run where actions may."""

import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from shared.asgi import Answer, Headers, Request
from shared.connected import WhileConnected
from shared.deadline import Deadline
from shared.errors import SutazaiError, Unavailable
from shared.function import LONGEST_TASK_S, MIB
from shared.local.upstream import Broken, Head, Upstream
from shared.mcp.headers import Doorway
from shared.mcp.wire import INTERNAL_ERROR, METHODS, NO_ID, RpcError, refused, rpc_error, unknown_agent
from shared.wiring import Ports

_CONNECT_S = 2.0
_LOOK_AGAIN_S = 0.25
# uvicorn closes what has been idle for 5 s; nothing is sent on a connection that may be about to close.
_IDLE_S = 3.0
_WHOLE_BYTES = MIB
_HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"x-request-id", b"expect"),
    }
)
# What our own answers bring anyway.
_OURS: Final = _HOP_BY_HOP | {b"x-content-type-options", b"cache-control", b"date", b"server"}


class Workers:
    """Who is ready, by the files in which workers say where they listen; each gets a request in turn."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: deque[str] = deque()
        self._look_at = 0.0

    def in_turn(self) -> list[str]:
        """Addresses, the one whose turn it is first."""
        if time.monotonic() >= self._look_at:
            self._look()
        self._known.rotate(-1)
        return list(self._known)

    def _look(self) -> None:
        found = []
        for path in sorted(self._folder.glob("worker-*.ready")):
            with suppress(FileNotFoundError):
                found.append(path.read_text().strip())
        if set(found) != set(self._known):
            self._known = deque(filter(None, found))
        self._look_at = time.monotonic() + _LOOK_AGAIN_S


class McpForward:
    """`/mcp/{agent}`, for the agents that workers serve."""

    timeout_s = LONGEST_TASK_S + 30.0

    def __init__(self, agents: Collection[str]) -> None:
        self._agents = frozenset(agents)
        self._idle: dict[str, list[tuple[float, Upstream]]] = {}

    @property
    def routes(self) -> "list[tuple[str, str, McpForward]]":
        return [(method, "/mcp/{agent}", self) for method in METHODS]

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        self._door = Doorway(ports.settings)
        self._workers = Workers(ports.settings.home / "run")
        try:
            yield
        finally:
            for _, upstream in (pair for idle in self._idle.values() for pair in idle):
                upstream.close()
            self._idle.clear()

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        try:
            self._door.check(request)
            if path["agent"] not in self._agents:
                raise unknown_agent(path["agent"])
            body = await request.body(MIB)
            return await self._forwarded(request, body)
        except RpcError as error:
            return refused(NO_ID, error)
        except SutazaiError as error:
            return refused(NO_ID, rpc_error(error))

    async def _forwarded(self, request: Request, body: bytes) -> Answer:
        address, upstream = await self._connected()
        try:
            with WhileConnected(request):
                upstream.send(request.method, request.path, _sent_on(request), body)
                head = await upstream.head()
                if head.length is not None and head.length <= _WHOLE_BYTES:
                    answer = Answer(head.status, await upstream.whole(head), _taken_over(head))
                    self._keep(address, upstream, head)
                    return answer
        except Broken as exc:
            upstream.close()
            # It may have run: whether it did is in the caller's history, and it is not for us to run it again.
            raise RpcError(INTERNAL_ERROR, "the worker that had this call ended", status=502) from exc
        except BaseException:
            upstream.close()
            raise
        return Answer(head.status, b"", _taken_over(head), pieces=_pieces(upstream, head))

    async def _connected(self) -> tuple[str, Upstream]:
        """Nothing has been sent yet, so a worker that is gone costs no more than asking the next."""
        for address in self._workers.in_turn():
            if (upstream := self._idle_one(address)) is not None:
                return address, upstream
            try:
                with Deadline(_CONNECT_S):
                    return address, await Upstream.connect(address)
            except (OSError, TimeoutError):
                continue
        raise Unavailable("no worker is ready; try again in a moment")

    def _idle_one(self, address: str) -> Upstream | None:
        idle = self._idle.get(address, [])
        while idle:
            since, upstream = idle.pop()
            if time.monotonic() - since < _IDLE_S and upstream.lives:
                return upstream
            upstream.close()
        return None

    def _keep(self, address: str, upstream: Upstream, head: Head) -> None:
        if head.closes:
            upstream.close()
        else:
            self._idle.setdefault(address, []).append((time.monotonic(), upstream))


async def _pieces(upstream: Upstream, head: Head) -> AsyncGenerator[bytes, None]:
    try:
        async for piece in upstream.pieces(head):
            yield piece
    finally:
        upstream.close()


def _sent_on(request: Request) -> Headers:
    named = {name.strip().lower() for name in request.headers.get(b"connection", b"").split(b",")}
    kept = tuple(pair for pair in request.scope["headers"] if pair[0] not in _HOP_BY_HOP and pair[0] not in named)
    client = request.scope.get("client")
    hop = ((b"x-forwarded-for", client[0].encode()),) if client else ()
    return (*kept, *hop, (b"x-request-id", request.request_id.encode()))


def _taken_over(head: Head) -> Headers:
    return tuple(pair for pair in head.headers if pair[0] not in _OURS)
