"""One MCP server over Streamable HTTP, for a client that words its messages itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from shared.asgi import Headers
from shared.mcp.outgoing import headers_of
from shared.mcp.sse import Overlong, SseReader
from shared.strict_json import Json
from shared.upstream import Broken, Head, Idle, Upstream
from shared.url_ports import DEFAULT_PORTS

MESSAGE_BYTES = 64 << 20
_CONNECT_S = 10.0


class Failed(Exception):
    """No answer was had; the message says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`body` is the JSON-RPC message that answers, None where there is none, as to a notification."""

    status: int
    body: bytes | None
    session: bytes | None


class Remote:
    """`headers` prove who asks. A session and a version are what a handshake has led to, if there was one."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Raises ValueError for what is no URL of a server."""
        target = urlsplit(url)
        if target.scheme not in DEFAULT_PORTS or not target.hostname or target.username or target.fragment:
            raise ValueError(f"{url!r} is no URL of an MCP server")
        host = f"[{target.hostname}]" if ":" in target.hostname else target.hostname
        self._address = f"{host}:{target.port or DEFAULT_PORTS[target.scheme]}"
        self._tls = target.scheme == "https"
        self._path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        own = tuple((name.lower().encode(), value.encode()) for name, value in headers.items())
        self._always: Headers = ((b"host", target.netloc.encode()), *own)
        self._idle = Idle()
        self.url = url
        self.version: str | None = None
        self.session: bytes | None = None

    def begin(self, answered: Answered) -> None:
        """Goes on in the session that this answer to `initialize` opens."""
        self.session = answered.session
        result = json.loads(answered.body or b"{}").get("result")
        version = result.get("protocolVersion") if isinstance(result, dict) else None
        self.version = version if isinstance(version, str) else None

    def forget(self) -> None:
        self.session = self.version = None

    async def send(self, message: Mapping[str, Json], line: bytes, heard: Callable[[bytes], None]) -> Answered:
        """`heard` gets what comes before the answer. To cancel it ends the request there too. Raises Failed."""
        headers = headers_of(message, version=self.version, session=self.session)
        upstream, head = await self._asked("POST", headers, line)
        try:
            session = head.header(b"mcp-session-id").encode() or None
            if _is(head, b"text/event-stream"):
                body = await self._streamed(upstream, head, heard)
                upstream.close()
            else:
                body = await _whole(upstream, head)
                self._idle.keep(upstream, head)
        except (Broken, OSError) as exc:
            upstream.close()
            raise Failed(f"{self.url} ended before its answer was whole") from exc
        except BaseException:
            upstream.close()
            raise
        self._check(head, body, message)
        return Answered(head.status, body if body and _is_message(body) else None, session)

    async def listen(self, heard: Callable[[bytes], None]) -> bool:
        """What the server says unasked, until it ends the stream; False where it has none. Raises Failed."""
        session = () if self.session is None else ((b"mcp-session-id", self.session),)
        version = () if self.version is None else ((b"mcp-protocol-version", self.version.encode()),)
        upstream, head = await self._asked("GET", ((b"accept", b"text/event-stream"), *session, *version), b"")
        try:
            if head.status != 200 or not _is(head, b"text/event-stream"):
                return False
            async for message in _messages(upstream, head):
                heard(message)
            return True
        except (Broken, OSError, Overlong) as exc:
            raise Failed(f"{self.url} broke off") from exc
        finally:
            upstream.close()

    async def close(self) -> None:
        """The server need not keep what nobody comes back to."""
        if self.session is not None:
            try:
                async with asyncio.timeout(2):
                    upstream, _ = await self._asked("DELETE", ((b"mcp-session-id", self.session),), b"")
                    upstream.close()
            except (Failed, TimeoutError):
                """It will forget the session by itself."""
        self._idle.close()

    async def _asked(self, method: str, headers: Headers, body: bytes) -> tuple[Upstream, Head]:
        upstream = self._idle.take() or await self._connected()
        try:
            upstream.send(method, self._path, (*self._always, *headers), body)
            return upstream, await upstream.head()
        except (Broken, OSError) as exc:
            upstream.close()
            raise Failed(f"{self.url} ended without an answer") from exc
        except BaseException:
            upstream.close()
            raise

    async def _connected(self) -> Upstream:
        tls = None
        if self._tls:
            import ssl

            tls = ssl.create_default_context()
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await Upstream.connect(self._address, tls=tls)
        except (OSError, TimeoutError) as exc:
            raise Failed(f"{self.url} cannot be reached: {exc or 'it does not answer'}") from exc

    async def _streamed(self, upstream: Upstream, head: Head, heard: Callable[[bytes], None]) -> bytes | None:
        try:
            async for message in _messages(upstream, head):
                if _is_answer(message):
                    return message
                heard(message)
        except Overlong as exc:
            raise Failed(f"{self.url} sent a message larger than {MESSAGE_BYTES} bytes") from exc
        raise Failed(f"{self.url} ended the stream without an answer")

    def _check(self, head: Head, body: bytes | None, message: Mapping[str, Json]) -> None:
        """Raises Failed for a refusal that is no message of its own."""
        if head.status in (200, 202, 204) or (body and _is_message(body)) or head.status == 404:
            return
        if 300 <= head.status < 400:
            raise Failed(f"{self.url} redirects to {head.header(b'location')[:200]!r}: give that URL")
        raise Failed(f"{self.url} answered {head.status} to {message.get('method', 'an answer')!r}")


async def _whole(upstream: Upstream, head: Head) -> bytes:
    body = bytearray()
    async for piece in upstream.pieces(head):
        body += piece
        if len(body) > MESSAGE_BYTES:
            raise Failed(f"the answer is larger than {MESSAGE_BYTES} bytes")
    return bytes(body)


async def _messages(upstream: Upstream, head: Head) -> AsyncIterator[bytes]:
    reader = SseReader(limit_bytes=MESSAGE_BYTES)
    async for piece in upstream.pieces(head):
        for message in reader.feed(piece):
            yield message


def _is(head: Head, content_type: bytes) -> bool:
    return head.header(b"content-type").partition(";")[0].strip().lower() == content_type.decode()


def _is_message(body: bytes) -> bool:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("jsonrpc") == "2.0"


def _is_answer(body: bytes) -> bool:
    # A request or notification names its method; looking for that first spares most answers a reading.
    if b'"method"' not in body:
        return True
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and "method" not in message
