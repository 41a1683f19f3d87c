"""Passing requests on to processes of ours, over connections that are kept; answers come back as they are."""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final

from shared.asgi import Answer, Headers, Request
from shared.connected import WhileConnected
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.function import MIB
from shared.upstream import Broken, Head, Idle, Upstream

_CONNECT_S = 2.0
_WHOLE_BYTES = MIB
_HOP_BY_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection"),
        *(b"te", b"trailer", b"transfer-encoding", b"upgrade", b"content-length", b"x-request-id", b"expect"),
    }
)
# What our own answers bring anyway.
_OURS: Final = _HOP_BY_HOP | {b"x-content-type-options", b"cache-control", b"date", b"server"}


class Lost(Exception):
    """The process that had a request ended before its answer was whole: it may have done what it was asked."""


class Connections:
    """To any number of addresses, each with those that wait for a next request."""

    def __init__(self) -> None:
        self._idle: defaultdict[str, Idle] = defaultdict(Idle)

    def close(self) -> None:
        for idle in self._idle.values():
            idle.close()
        self._idle.clear()

    async def forward(
        self, request: Request, addresses: Iterable[str], path: str, headers: Headers, body: bytes
    ) -> Answer:
        """To the first of `addresses` (host:port) that takes connections. Raises Unavailable, Lost and Disconnected."""
        address, upstream = await self._connected(addresses)
        try:
            with WhileConnected(request):
                upstream.send(request.method, path, headers, body)
                head = await upstream.head()
                if head.length is not None and head.length <= _WHOLE_BYTES:
                    answer = Answer(head.status, await upstream.whole(head), _taken_over(head))
                    self._idle[address].keep(upstream, head)
                    return answer
        except Broken as exc:
            upstream.close()
            raise Lost from exc
        except BaseException:
            upstream.close()
            raise
        return Answer(head.status, b"", _taken_over(head), pieces=Passing(upstream, head))

    async def _connected(self, addresses: Iterable[str]) -> tuple[str, Upstream]:
        """Nothing has been sent yet, so a process that is gone costs no more than asking the next."""
        for address in addresses:
            if (upstream := self._idle[address].take()) is not None:
                return address, upstream
            try:
                with Deadline(_CONNECT_S):
                    return address, await Upstream.connect(address)
            except (OSError, TimeoutError):
                continue
        raise Unavailable("no worker is ready; try again in a moment")


class Passing(AsyncGenerator[bytes, None]):
    """A body as it comes. Closing it ends the request, also before its first piece was taken.

    `change` is given each piece, and an empty one at the end for what it has held back; `closed` is told of the end.
    """

    def __init__(self, upstream: Upstream, head: Head) -> None:
        self._upstream = upstream
        self._source = upstream.pieces(head)
        self._over = False
        self.change: Callable[[bytes], bytes] | None = None
        self.closed: Callable[[], None] | None = None

    async def asend(self, _: None) -> bytes:
        while not self._over:
            piece = await anext(self._source, b"")
            self._over = not piece
            if said := piece if self.change is None else self.change(piece):
                return said
        raise StopAsyncIteration

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
        self._upstream.close()
        if self.closed is not None:
            self.closed()
            self.closed = None


def sent_on(request: Request, *, without: frozenset[bytes] = frozenset()) -> Headers:
    """A request's headers as the next process gets them: without those of this hop, and with where it comes from."""
    named = request.headers.get(b"connection")
    left = _HOP_BY_HOP | without
    if named is not None:
        left |= {name.strip().lower() for name in named.split(b",")}
    client = request.scope.get("client")
    hop = ((b"x-forwarded-for", client[0].encode()),) if client else ()
    kept = [pair for pair in request.scope["headers"] if pair[0] not in left]
    return (*kept, *hop, (b"x-request-id", request.request_id.encode()))


def _taken_over(head: Head) -> Headers:
    return tuple(pair for pair in head.headers if pair[0] not in _OURS)


@asynccontextmanager
async def connections() -> AsyncIterator[Connections]:
    kept = Connections()
    try:
        yield kept
    finally:
        kept.close()
