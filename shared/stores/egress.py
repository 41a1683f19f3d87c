"""Requests to the peers that the operator named, and to nobody else."""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Self

from shared.config import Settings
from shared.errors import SutazaiError, ToolError, Unavailable
from shared.function import MIB
from shared.ports.egress import Response

if TYPE_CHECKING:
    import httpx

CONNECT_S = 5.0
TOTAL_S = 15.0
BODY_BYTES = 5 * MIB

_URL_CHARACTERS = 8192
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# An authority that any two parsers read alike: digits and brackets, no names, no userinfo, no escapes.
_URL = re.compile(r"(https?)://(?:([0-9.]+)|\[([0-9a-f:]+)\])(?::([1-9][0-9]{0,4}))?([/?#][!-\[\]-~]*)?")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")
# They decide where a message ends, or for whom it is.
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# How the driver words an end of the stream, which it does not tell apart from an answer that is not HTTP.
_CUT = ("disconnected without", "closed connection without")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL, parsed once: what is checked is what is connected to."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ToolError for all but http(s), an IP address in its one canonical spelling, and a path."""
        matched = _URL.fullmatch(url) if len(url) <= _URL_CHARACTERS else None
        if matched is None:
            raise ToolError(
                "the URL is refused: give http:// or https://, an IP address, a port and a path, all in ASCII"
            )
        scheme, v4, v6, port, rest = matched.groups()
        path = (rest or "").partition("#")[0]
        return cls(
            scheme=scheme,
            host=_canonical(v4 or v6),
            port=int(port) if port else 443 if scheme == "https" else 80,
            path=path if path.startswith("/") else f"/{path}",
        )

    @property
    def peer(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.peer}{self.path}"


def _canonical(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:
        raise ToolError(f"{host!r} is not an IP address") from None
    if str(address) != host or (isinstance(address, IPv6Address) and address.ipv4_mapped is not None):
        raise ToolError(f"{host!r} is not the plain spelling of an IP address; give {str(address)!r} or its IPv4 form")
    return host


class HttpEgress:
    """Follows no redirect, keeps no cookie and no connection, asks neither the environment nor a resolver."""

    def __init__(self, *, settings: Settings) -> None:
        self._allowed = settings.egress_allow
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def __aenter__(self) -> Self:
        # Where nobody may be reached the driver (120 ms) is never needed. Where somebody may, it is imported now:
        # a process can be confined later, and then reads neither code nor certificates.
        if self._allowed:
            self._transport = _transport()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            await self._transport.aclose()

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"", timeout_s: float
    ) -> Response:
        target = Target.parse(url)
        if (target.host, target.port) not in self._allowed:
            raise ToolError(f"{target.peer} is not among the addresses that may be reached from here")
        _check(method, headers)
        assert self._transport is not None, "used before it was opened"
        limit_s = min(timeout_s, TOTAL_S)
        message = _message(method, target, headers, body, limit_s)
        try:
            async with asyncio.timeout(limit_s):
                return await _exchange(self._transport, message, target)
        except TimeoutError as exc:
            raise Unavailable(f"{target.peer} did not answer within {limit_s:g} s") from exc


def _check(method: str, headers: Mapping[str, str]) -> None:
    if method not in _METHODS:
        raise ToolError(f"the method {method!r} is refused; use one of {', '.join(sorted(_METHODS))}")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ToolError(f"the header {name!r} is refused: a name is a token and a value printable ASCII")
        if name.lower() in _OURS:
            raise ToolError(f"the header {name!r} cannot be chosen")


def _transport() -> "httpx.AsyncHTTPTransport":
    import anyio
    import httpx

    # The transport alone: a client would add cookies, redirects, netrc and proxies. No connection is kept:
    # it may have died unseen, which would fail a request that must not be repeated.
    transport = httpx.AsyncHTTPTransport(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0), retries=0)
    # Imports the rest of what the first request would import.
    anyio.get_cancelled_exc_class()
    return transport


def _message(method: str, target: Target, headers: Mapping[str, str], body: bytes, limit_s: float) -> "httpx.Request":
    import httpx

    return httpx.Request(
        method,
        httpx.URL(scheme=target.scheme, host=target.host, port=target.port, raw_path=target.path.encode()),
        headers={
            "accept": "*/*",
            "user-agent": "SutazAI",
            **{name.lower(): value for name, value in headers.items()},
            "accept-encoding": "identity",
            "connection": "close",
        },
        content=body,
        # For TCP and for TLS each. A third keeps the deadline out of both: the driver leaves its socket open
        # when it is cancelled amid TLS.
        extensions={"timeout": {"connect": min(CONNECT_S, limit_s / 3)}},
    )


async def _exchange(transport: "httpx.AsyncHTTPTransport", request: "httpx.Request", target: Target) -> Response:
    import httpx

    try:
        response = await transport.handle_async_request(request)
        try:
            received = await _received(response, target)
        finally:
            await response.aclose()
    except httpx.TransportError as exc:
        raise _translated(exc, target) from exc
    headers = dict(response.headers)
    return Response(status=response.status_code, headers=headers, body=received, url=target.url)


async def _received(response: "httpx.Response", target: Target) -> bytes:
    """The body as it came: it is bounded, and nothing that was packed is unpacked."""
    received = bytearray()
    async for part in response.aiter_raw():
        received += part
        if len(received) > BODY_BYTES:
            raise ToolError(f"the answer of {target.peer} is larger than {BODY_BYTES} bytes")
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if received and encoding != "identity":
        raise ToolError(f"{target.peer} answered in an encoding that was not asked for: {encoding!r}")
    return bytes(received)


def _translated(exc: "httpx.TransportError", target: Target) -> SutazaiError:
    import httpx

    if isinstance(exc, httpx.TimeoutException):
        return Unavailable(f"{target.peer} did not answer in time")
    if isinstance(exc, httpx.NetworkError) and not _disagrees_on_tls(exc):
        return Unavailable(f"the connection to {target.peer} failed")
    if isinstance(exc, httpx.NetworkError):
        return ToolError(f"no TLS connection to {target.peer}: its certificate or protocol is not accepted")
    if isinstance(exc, httpx.RemoteProtocolError) and any(words in str(exc) for words in _CUT):
        return Unavailable(f"{target.peer} closed the connection before its answer was whole")
    return ToolError(f"{target.peer} does not answer in proper HTTP")


def _disagrees_on_tls(exc: BaseException | None) -> bool:
    """Some errors of `ssl` only say that bytes are missing, as they are where the connection broke."""
    missing = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
    while exc is not None and (isinstance(exc, missing) or not isinstance(exc, ssl.SSLError)):
        exc = exc.__cause__ or exc.__context__
    return exc is not None
