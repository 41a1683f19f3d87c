"""Requests in and answers out, at the level of ASGI; nothing here knows a function."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from shared.deadline import Deadline
from shared.errors import Invalid, MethodNotAllowed, RateLimited, SutazaiError, TooLarge, Unauthorized, Unavailable
from shared.ids import new_request_id
from shared.strict_json import dump

if TYPE_CHECKING:
    from shared.addresses import Networks

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

logger = logging.getLogger("sutazai.serve")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,100}")
HEADER_BYTES = 16 * 1024
FORM = b"application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_PAIRS = 1000
_SINGLE = (b"authorization", b"x-api-key", b"content-type", b"content-length", b"idempotency-key", b"host")
_LAST_PIECE_S = 1.0
_QUOTA = (b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset")
_JSON = (b"content-type", b"application/json")
_ALWAYS: Headers = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


@dataclass(slots=True)
class Answer:
    """`pieces` follow the body, each sent as it comes; those that `end` by themselves are waited for by who stops."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    pieces: AsyncGenerator[bytes, None] | None = None
    end: bool = False


class Disconnected(Exception):
    """The client went away before its request had arrived."""


class Request:
    """One HTTP request; headers are looked up, not copied."""

    __slots__ = ("_receive", "headers", "method", "path", "query", "quota", "request_id", "scope", "trusted")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        # A percent-encoded slash is part of a segment, so the raw path decides.
        self.path: str = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        self.query: bytes = scope["query_string"]
        # What is left of its caller's rate, for its answer.
        self.quota: Headers = ()
        # Gateways whose word counts on where it comes from.
        self.trusted: Networks = ()
        sent = self.headers.get(b"x-request-id", b"")
        self.request_id = sent.decode() if sent and _REQUEST_ID.fullmatch(sent) else new_request_id()

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    @property
    def address(self) -> str:
        client = self.scope.get("client")
        peer: str = client[0] if client else ""
        if not self.trusted:
            return peer
        from shared.addresses import forwarded_address

        # Several headers of that name are one list (RFC 9110, 5.3).
        said = [value for name, value in self.scope["headers"] if name == b"x-forwarded-for"]
        return forwarded_address(peer, b",".join(said).decode("latin-1"), self.trusted)

    def check_headers(self) -> None:
        """Raises Invalid: too many bytes of headers, or one that must be single is doubled."""
        headers = self.scope["headers"]
        if sum(map(len, chain.from_iterable(headers))) > HEADER_BYTES:
            raise Invalid("the headers are larger than 16 KiB")
        if len(self.headers) != len(headers):
            names = [name for name, _ in headers]
            for name in _SINGLE:
                if names.count(name) > 1:
                    raise Invalid(f"the header {name.decode()} was sent twice")

    async def body(self, limit_bytes: int) -> bytes:
        """Raises TooLarge as soon as the limit is passed, and Disconnected."""
        declared = self.headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit_bytes:
            raise TooLarge(f"the body is larger than {limit_bytes} bytes")
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            return bytes(self._within(message.get("body", b""), limit_bytes))
        chunks = bytearray()
        while message["type"] == "http.request":
            chunks += message.get("body", b"")
            self._within(chunks, limit_bytes)
            if not message.get("more_body", False):
                return bytes(chunks)
            message = await self._receive()
        raise Disconnected

    def unread(self, body: bytes) -> None:
        """Has what was read of the body be there for the next reader."""
        receive, left = self._receive, [body]

        async def again() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": left.pop()} if left else await receive()

        self._receive = again

    async def gone(self) -> None:
        """Returns once the client has gone away; the body has been read before."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    @staticmethod
    def _within(body: Any, limit_bytes: int) -> Any:
        if len(body) > limit_bytes:
            raise TooLarge(f"the body is larger than {limit_bytes} bytes")
        return body

    def parameters(self) -> dict[str, str]:
        """The query. Raises Invalid for one that is not UTF-8, or names a parameter twice."""
        return _pairs(self.query, "query")

    def fields(self, body: bytes) -> dict[str, str]:
        """A form. Raises Invalid for a body of another type, and as `parameters` does."""
        if self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != FORM:
            raise Invalid(f"the content type is not {FORM.decode()}")
        return _pairs(body, "form")


def _pairs(encoded: bytes, what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if encoded.count(b"&") > _PAIRS:
        raise Invalid(f"the {what} has more than {_PAIRS} parameters")
    for pair in filter(None, encoded.split(b"&")):
        name, _, value = pair.partition(b"=")
        try:
            key = unquote(name.decode("ascii").replace("+", " "), errors="strict")
            text = unquote(value.decode("ascii").replace("+", " "), errors="strict")
        except UnicodeDecodeError:
            raise Invalid(f"the {what} is not UTF-8") from None
        if "\0" in text or key in found:
            raise Invalid(f"the {what} parameter {key!r} holds a NUL character or is given twice")
        found[key] = text
    return found


def now_text() -> str:
    second, millisecond = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second_text(second)}.{millisecond:03d}Z"


@lru_cache(maxsize=2)
def _second_text(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def success(
    request_id: str, data: bytes, *, status: int, message: str = "", headers: Iterable[tuple[str, str]] = ()
) -> Answer:
    """The envelope around `data`, which is JSON already."""
    text = b'"OK"' if not message else dump(message)
    body = b'{"success":true,"data":%b,"message":%b,"timestamp":"%b","request_id":"%b"}' % (
        data,
        text,
        now_text().encode(),
        request_id.encode(),
    )
    extra = [(name.lower().encode(), value.encode()) for name, value in headers]
    return Answer(status, body, (_JSON, *extra))


def failure(request_id: str, error: SutazaiError) -> Answer:
    details = {key: value for key, value in error.details.items() if value is not None}
    body = dump(
        {
            "success": False,
            "error": {"code": error.code, "message": error.message, "details": details},  # type: ignore[dict-item]
            "timestamp": now_text(),
            "request_id": request_id,
        }
    )
    return Answer(error.status, body, (_JSON, *error_headers(error)))


def quota_headers(limit: int, remaining: int, reset_after_s: float) -> Headers:
    """`RateLimit-Reset` counts seconds from now, `X-RateLimit-Reset` from 1970, as their readers have it."""
    after = ceil(reset_after_s)
    figures = (b"%d" % limit, b"%d" % remaining)
    return tuple(
        (prefix + name, value)
        for prefix, reset in ((b"", after), (b"x-", ceil(time.time()) + after))
        for name, value in zip(_QUOTA, (*figures, b"%d" % reset), strict=True)
    )


def error_headers(error: SutazaiError) -> Headers:
    """Beside the status, what HTTP has a header for."""
    if isinstance(error, Unauthorized):
        return ((b"www-authenticate", b"Bearer"),)
    if isinstance(error, MethodNotAllowed):
        allowed = error.details.get("allow")
        return ((b"allow", ", ".join(map(str, allowed)).encode()),) if isinstance(allowed, list) else ()
    if isinstance(error, RateLimited):
        quota = quota_headers(error.limit, error.remaining, error.reset_after)
        return (*quota, (b"retry-after", str(error.retry_after).encode()))
    if isinstance(error, Unavailable):
        return ((b"retry-after", str(error.details.get("retry_after", 1)).encode()),)
    return ()


async def send_pieces(send: Send, request: Request, answer: Answer, *, stopping: asyncio.Event) -> None:
    """Until the last piece, or until the client or this process goes. A client that takes none holds the next back."""
    assert answer.pieces is not None
    headers = [*answer.headers, (b"x-request-id", request.request_id.encode()), *_ALWAYS, (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    pump, gone, stop = (
        asyncio.ensure_future(work)
        for work in (_send_each(send, answer.pieces), request.gone(), _never() if answer.end else stopping.wait())
    )
    try:
        await asyncio.wait((pump, gone, stop), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for work in (pump, gone, stop):
            work.cancel()
        await asyncio.gather(pump, gone, stop, return_exceptions=True)
        await answer.pieces.aclose()
    if gone.cancelled():
        with suppress(OSError), Deadline(_LAST_PIECE_S):
            await send({"type": "http.response.body"})


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


async def _send_each(send: Send, pieces: AsyncGenerator[bytes, None]) -> None:
    try:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    except Exception:
        # The status is out already: all that is left is to end, and the client asks again.
        logger.exception("a stream failed")


async def send_answer(send: Send, answer: Answer, request_id: str, *, with_body: bool = True) -> None:
    headers = [*answer.headers, (b"x-request-id", request_id.encode())]
    # 204 has no body that could be guessed at, cached or measured.
    if answer.status != 204:
        headers += (*_ALWAYS, (b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
