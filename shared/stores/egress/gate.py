"""The gate that every request to the outside passes: the open internet, and the peers that the operator named."""

import asyncio
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from shared.config import Settings
from shared.errors import ConfigurationError, ToolError, Unavailable
from shared.ports.egress import MOST_REDIRECTS, Heard, Resolver, Response
from shared.stores.egress.addresses import Address, parsed, refusal
from shared.stores.egress.dialer import Dialer, is_this_machine
from shared.stores.egress.exchange import BODY_BYTES, Answer, Message, exchange
from shared.stores.egress.packed import ACCEPTED, unpacked
from shared.stores.egress.url import Target

CONNECT_S = 5.0
TOTAL_S = 15.0
PORTS = frozenset({80, 443, 8080, 8443})

_MOST_ADDRESSES, _TRIED_ADDRESSES = 100, 4
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")
# They decide where a message ends, how it is packed, or for whom it is.
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
# Whatever else a caller sent may be a secret that it shares with the first origin.
_FOR_ANYONE = frozenset({"accept", "accept-language", "user-agent"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One request of a chain. `headers` have lower-case names."""

    method: str
    target: Target
    headers: Mapping[str, str]
    body: bytes
    heard: Heard | None = None

    def redirected(self, status: int, location: str) -> "_Call":
        """Raises ToolError where it leads nowhere, or would hand the body to someone else."""
        target = self.target.joined(location)
        method, headers, body = self.method, self.headers, self.body
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method, body = "GET", b""
            headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        if target.origin != self.target.origin:
            if body:
                raise ToolError(f"{self.target.origin} redirects to {target.origin}, which would get the body")
            headers = {name: value for name, value in headers.items() if name in _FOR_ANYONE}
        return replace(self, method=method, target=target, headers=headers, body=body)


class HttpEgress:
    """Keeps no cookie and no connection; asks neither the environment nor, once it has decided, a resolver."""

    def __init__(self, *, settings: Settings, resolver: Resolver, dialer: Dialer) -> None:
        self._peers = frozenset(_peer(*peer) for peer in settings.egress_allow)
        self._peer_ports = {port for _, port in self._peers}
        self._stores = _addresses_in(settings.postgres_url, settings.redis_url, settings.amqp_url)
        self._resolver = resolver
        self._dialer = dialer
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        # The parts of HTTP and TLS take 40 ms and are mostly not needed. Where a peer is named they are: a process
        # can be confined later, and then may read neither code nor certificates.
        if self._peers:
            import h11  # noqa: F401

            self._tls = _trusting()
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_s: float,
        redirects: int = 0,
    ) -> Response:
        call = _Call(method=method, target=Target.parse(url), headers=_checked(method, headers), body=body)
        return await self._bounded(call, min(timeout_s, TOTAL_S), min(redirects, MOST_REDIRECTS))

    async def check(self, url: str) -> None:
        target = Target.parse(url)
        async with asyncio.timeout(TOTAL_S):
            await self._addresses(target)

    async def converse(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float, heard: Heard
    ) -> Response:
        call = _Call(method=method, target=Target.parse(url), headers=_checked(method, headers), body=body, heard=heard)
        return await self._bounded(call, timeout_s, 0)

    async def _bounded(self, call: _Call, limit_s: float, redirects: int) -> Response:
        try:
            async with asyncio.timeout(limit_s):
                return await self._followed(call, redirects)
        except TimeoutError as exc:
            raise Unavailable(f"{call.target.netloc} did not answer within {limit_s:g} s") from exc

    async def _followed(self, call: _Call, redirects: int) -> Response:
        for left in range(redirects, -1, -1):
            answer = await self._sent(call)
            location = answer.headers.get("location")
            if not redirects or answer.status not in _REDIRECTS or location is None:
                return _response(answer, call.target, redirects - left)
            if left:
                call = call.redirected(answer.status, location)
        raise ToolError(f"more than {redirects} redirects, the last by {call.target.origin}; give the final URL")

    async def _sent(self, call: _Call) -> Answer:
        target = call.target
        connection = await self._connected(target, await self._addresses(target))
        tls = None
        if target.scheme == "https":
            tls = self._tls = self._tls or _trusting()
        return await exchange(connection, _message(call), tls=tls, name=target.host, handshake_s=CONNECT_S)

    async def _addresses(self, target: Target) -> list[Address]:
        """What the host leads to now: this is looked up once, and every one must be allowed."""
        if target.port not in PORTS and target.port not in self._peer_ports:
            raise ToolError(f"port {target.port} is refused; {', '.join(map(str, sorted(PORTS)))} may be used")
        texts: Sequence[str] = (target.host,) if target.is_address else await self._resolver.resolve(target.host)
        if not texts:
            raise ToolError(f"no host is named {target.host!r}; check the spelling of the URL")
        found = [parsed(text) for text in texts[:_MOST_ADDRESSES]]
        addresses = [address for address in found if address is not None]
        reasons = [self._refusal(address, target.port) for address in addresses]
        reason = next(filter(None, reasons), None)
        if target.is_address and reason is not None:
            raise ToolError(
                f"{target.netloc} is refused: it is {reason}; only the open internet can be reached from here"
            )
        if reason is not None or len(addresses) != len(texts):
            # Why not is not said: who asks would learn what our own network's names lead to.
            raise ToolError(f"{target.netloc} is refused: not all of its addresses are on the open internet")
        return addresses

    def _refusal(self, address: Address, port: int) -> str | None:
        if (address, port) in self._peers:
            return None
        if port not in PORTS:
            return f"on port {port}"
        if address in self._stores:
            return "a service of our own"
        return refusal(address) or ("this machine itself" if is_this_machine(address) else None)

    async def _connected(self, target: Target, addresses: Sequence[Address]) -> socket.socket:
        tried = addresses[:_TRIED_ADDRESSES]
        failure: OSError | None = None
        try:
            async with asyncio.timeout(CONNECT_S):
                for number, address in enumerate(tried):
                    try:
                        # A dead address takes no more than its share from those that follow.
                        async with asyncio.timeout(CONNECT_S / (len(tried) - number)):
                            connection = await self._dialer.connect(address, target.port)
                    except OSError as exc:
                        failure = exc
                        continue
                    return self._checked_peer(connection, address, target)
        except TimeoutError as exc:
            failure = exc
        raise Unavailable(f"the connection to {target.netloc} failed") from failure

    def _checked_peer(self, connection: socket.socket, address: Address, target: Target) -> socket.socket:
        """Nothing has been sent yet, so whoever else has answered learns nothing."""
        try:
            host, port = connection.getpeername()[:2]
        except OSError as exc:
            connection.close()
            raise Unavailable(f"the connection to {target.netloc} failed") from exc
        peer = parsed(str(host))
        if peer != address or port != target.port or self._refusal(peer, port) is not None:
            connection.close()
            raise ToolError(f"{target.netloc} is refused: another address answered for it")
        return connection


def _peer(host: str, port: int) -> tuple[Address, int]:
    address = parsed(host)
    if address is None:
        raise ConfigurationError(f"SUTAZAI_EGRESS_ALLOW is a list of ip:port, and {host!r} is no address")
    return address, port


def _addresses_in(*urls: str) -> frozenset[Address]:
    """Those of the servers that we use. Where a name stands, the ports that may be reached are not theirs."""
    return frozenset(filter(None, (parsed(urlsplit(url).hostname or "") for url in urls)))


def _checked(method: str, headers: Mapping[str, str]) -> dict[str, str]:
    """The headers, with names in lower case."""
    if method not in _METHODS:
        raise ToolError(f"the method {method!r} is refused; use one of {', '.join(sorted(_METHODS))}")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ToolError(f"the header {name!r} is refused: a name is a token and a value printable ASCII")
        if name.lower() in _OURS:
            raise ToolError(f"the header {name!r} cannot be chosen")
    return {name.lower(): value.strip() for name, value in headers.items()}


def _message(call: _Call) -> Message:
    headers = {
        "host": call.target.netloc,
        "accept": "*/*",
        "user-agent": "SutazAI",
        **call.headers,
        # What is listened to while it comes cannot be packed.
        "accept-encoding": "identity" if call.heard else ACCEPTED,
        "connection": "close",
    }
    if call.body or call.method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(len(call.body))
    return Message(
        method=call.method,
        path=call.target.path,
        headers=tuple(headers.items()),
        body=call.body,
        peer=call.target.netloc,
        heard=call.heard,
    )


def _response(answer: Answer, target: Target, redirects: int) -> Response:
    headers = answer.headers
    body = unpacked(answer.body, headers.get("content-encoding", ""), limit_bytes=BODY_BYTES, peer=target.netloc)
    if body is not answer.body:
        headers = {name: value for name, value in headers.items() if name not in ("content-encoding", "content-length")}
    return Response(status=answer.status, headers=headers, body=body, url=target.url, redirects=redirects)


def _trusting() -> ssl.SSLContext:
    """Certificates are checked against the roots that come with us; the environment has no say in it."""
    import certifi

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context
