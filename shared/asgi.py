"""Requests in and answers out, at the level of ASGI; nothing here knows a function."""

import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any
from urllib.parse import unquote

from shared.errors import Invalid, MethodNotAllowed, RateLimited, SutazaiError, TooLarge, Unauthorized, Unavailable
from shared.strict_json import dump

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

logger = logging.getLogger("sutazai.serve")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,100}")
HEADER_BYTES = 16 * 1024
_JSON = (b"content-type", b"application/json")
_ALWAYS: Headers = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes = b""
    headers: Headers = ()


class Disconnected(Exception):
    """The client went away before its request had arrived."""


class Request:
    """One HTTP request; headers are looked up, not copied."""

    __slots__ = ("_receive", "headers", "method", "path", "query", "request_id", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        # A percent-encoded slash is part of a segment, so the raw path decides.
        self.path: str = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0].decode("latin-1")
        self.query: bytes = scope["query_string"]
        sent = self.headers.get(b"x-request-id", b"")
        self.request_id = sent.decode() if sent and _REQUEST_ID.fullmatch(sent) else os.urandom(16).hex()

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    @property
    def address(self) -> str:
        client = self.scope.get("client")
        return client[0] if client else ""

    def check_headers(self) -> None:
        """Raises Invalid: too many bytes of headers, or one that must be single is doubled."""
        headers = self.scope["headers"]
        if sum(map(len, chain.from_iterable(headers))) > HEADER_BYTES:
            raise Invalid("the headers are larger than 16 KiB")
        if len(self.headers) != len(headers):
            names = [name for name, _ in headers]
            for name in (b"authorization", b"content-type", b"content-length", b"idempotency-key", b"host"):
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

    @staticmethod
    def _within(body: Any, limit_bytes: int) -> Any:
        if len(body) > limit_bytes:
            raise TooLarge(f"the body is larger than {limit_bytes} bytes")
        return body

    def parameters(self) -> dict[str, str]:
        """The query. Raises Invalid for one that is not UTF-8, or names a parameter twice."""
        found: dict[str, str] = {}
        for pair in filter(None, self.query.split(b"&")):
            name, _, value = pair.partition(b"=")
            try:
                key = unquote(name.decode("ascii").replace("+", " "), errors="strict")
                text = unquote(value.decode("ascii").replace("+", " "), errors="strict")
            except UnicodeDecodeError:
                raise Invalid("the query is not UTF-8") from None
            if "\0" in text or key in found:
                raise Invalid(f"the query parameter {key!r} holds a NUL character or is given twice")
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
    return Answer(error.status, body, (_JSON, *_headers_of(error)))


def _headers_of(error: SutazaiError) -> Headers:
    if isinstance(error, Unauthorized):
        return ((b"www-authenticate", b"Bearer"),)
    if isinstance(error, MethodNotAllowed):
        allowed = error.details.get("allow")
        return ((b"allow", ", ".join(map(str, allowed)).encode()),) if isinstance(allowed, list) else ()
    if isinstance(error, RateLimited | Unavailable):
        return ((b"retry-after", str(error.details.get("retry_after", 1)).encode()),)
    return ()


async def send_answer(send: Send, answer: Answer, request_id: str, *, with_body: bool = True) -> None:
    headers = [*answer.headers, (b"x-request-id", request_id.encode())]
    # 204 has no body that could be guessed at, cached or measured.
    if answer.status != 204:
        headers += (*_ALWAYS, (b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body if with_body else b""})
