"""One HTTP/1.1 connection to a server that we know: what such servers send is all it has to understand."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from shared.asgi import HEADER_BYTES, Headers

if TYPE_CHECKING:
    from ssl import SSLContext

_PIECE_BYTES = 64 * 1024
# Servers close what has been idle for longer; the shortest that is common, and uvicorn's, is 5 s.
_IDLE_S = 3.0


class Broken(Exception):
    """The other side ended, or said what it cannot mean, before its answer was whole."""


@dataclass(frozen=True, slots=True)
class Head:
    """`length` is None where the body comes in chunks."""

    status: int
    headers: Headers
    length: int | None
    closes: bool

    def header(self, name: bytes) -> str:
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


class Upstream:
    """One request at a time; after a `whole` answer it can take the next."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, address: str, *, tls: "SSLContext | None" = None) -> Self:
        """`address` is host:port. Raises OSError."""
        host, _, port = address.rpartition(":")
        limit = HEADER_BYTES * 4
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=limit, ssl=tls)
        return cls(reader, writer)

    @property
    def lives(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    def send(self, method: str, path: str, headers: Headers, body: bytes) -> None:
        lines = [f"{method} {path} HTTP/1.1".encode("latin-1"), *(b"%b: %b" % pair for pair in headers)]
        lines.append(b"content-length: %d" % len(body))
        self._writer.write(b"\r\n".join((*lines, b"", body)))

    async def head(self) -> Head:
        """Raises Broken."""
        try:
            first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
            status = int(first.split(b" ", 2)[1])
            pairs = [line.partition(b":") for line in lines]
            headers = tuple((name.lower(), value.strip()) for name, _, value in pairs)
            said = dict(headers)
            chunked = said.get(b"transfer-encoding", b"").lower() == b"chunked"
            length = None if chunked else int(said.get(b"content-length", b"0"))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError, IndexError) as exc:
            raise Broken from exc
        return Head(status, headers, length, said.get(b"connection", b"").lower() == b"close")

    async def whole(self, head: Head) -> bytes:
        """Raises Broken."""
        try:
            return await self._reader.readexactly(head.length or 0)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise Broken from exc

    async def pieces(self, head: Head) -> AsyncIterator[bytes]:
        """The body as it comes. Raises Broken."""
        try:
            if head.length is not None:
                async for piece in self._exactly(head.length):
                    yield piece
                return
            while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                async for piece in self._exactly(size):
                    yield piece
                await self._reader.readexactly(2)
            while await self._reader.readuntil(b"\r\n") != b"\r\n":
                """Trailers say nothing to us."""
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError) as exc:
            raise Broken from exc

    async def _exactly(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece = await self._reader.read(min(left, _PIECE_BYTES))
            if not piece:
                raise Broken
            left -= len(piece)
            yield piece


class Idle:
    """Connections to one server that wait for a next request: none is given out that may be about to close."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, Upstream]] = []

    def take(self) -> Upstream | None:
        while self._kept:
            since, upstream = self._kept.pop()
            if time.monotonic() - since < _IDLE_S and upstream.lives:
                return upstream
            upstream.close()
        return None

    def keep(self, upstream: Upstream, head: Head) -> None:
        """After the `whole` answer that `head` began; what its server closes is closed here too."""
        if head.closes:
            upstream.close()
        else:
            self._kept.append((time.monotonic(), upstream))

    def close(self) -> None:
        while self._kept:
            self._kept.pop()[1].close()
