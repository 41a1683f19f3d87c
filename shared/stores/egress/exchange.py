"""One request and its answer over a connection that is used for nothing else."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.errors import SutazaiError, ToolError, Unavailable
from shared.function import MIB
from shared.ports.egress import Heard

if TYPE_CHECKING:
    import h11

BODY_BYTES = 5 * MIB
_HEAD_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
# A body of single bytes would cost a second of CPU for each 50 kB.
_MOST_PIECES = 50_000
_MOST_PRELUDES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`headers` in the order they are sent in. `peer` is the other end's name in errors.

    `heard` gets the pieces of the answer's body, and may have heard enough.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    heard: Heard | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Names of headers are lower case, values of the same name joined. The body is as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


async def exchange(
    connection: socket.socket, message: Message, *, tls: ssl.SSLContext | None, name: str, handshake_s: float
) -> Answer:
    """Takes over `connection`; with `tls` its certificate must be for `name`. Raises ToolError and Unavailable."""
    try:
        reader, writer = await asyncio.open_connection(
            sock=connection,
            limit=_READ_BYTES,
            ssl=tls,
            server_hostname=name if tls else None,
            ssl_handshake_timeout=handshake_s if tls else None,
        )
    except BaseException as exc:
        connection.close()
        if isinstance(exc, OSError):
            raise _translated(exc, message.peer) from exc
        raise
    try:
        return await _Exchange(reader, message).over(writer)
    except OSError as exc:
        raise _translated(exc, message.peer) from exc
    finally:
        # Nothing of value is on its way any more, and a peer must not decide when this ends.
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class _Exchange:
    def __init__(self, reader: asyncio.StreamReader, message: Message) -> None:
        import h11

        self._reader = reader
        self._message = message
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._ended = False

    async def over(self, writer: asyncio.StreamWriter) -> Answer:
        import h11

        # Not waited for: a peer may answer before it has read everything.
        writer.write(self._sent())
        for _ in range(_MOST_PRELUDES):
            event = await self._event()
            if isinstance(event, h11.Response):
                headers = _joined(event.headers)
                body = b"" if event.status_code in (204, 304) else await self._body(headers)
                return Answer(status=event.status_code, headers=headers, body=body)
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                break
        raise ToolError(f"{self._message.peer} does not answer in proper HTTP")

    def _sent(self) -> bytes:
        import h11

        message = self._message
        request = h11.Request(method=message.method, target=message.path, headers=list(message.headers))
        parts = [self._http.send(request)]
        if message.body:
            parts.append(self._http.send(h11.Data(message.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        return b"".join(filter(None, parts))

    async def _body(self, headers: dict[str, str]) -> bytes:
        import h11

        length = headers.get("content-length", "")
        if self._message.method != "HEAD" and length.isdigit() and int(length[:20]) > BODY_BYTES:
            raise self._too_large()
        body = bytearray()
        for _ in range(_MOST_PIECES):
            event = await self._event()
            if not isinstance(event, h11.Data):
                return bytes(body)
            body += event.data
            if len(body) > BODY_BYTES:
                raise self._too_large()
            if self._message.heard is not None and self._message.heard(headers, event.data):
                return bytes(body)
        raise ToolError(f"the answer of {self._message.peer} comes in more than {_MOST_PIECES} pieces")

    def _too_large(self) -> ToolError:
        return ToolError(f"the answer of {self._message.peer} is larger than {BODY_BYTES} bytes")

    async def _event(self) -> "h11.Event":
        import h11

        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                received = await self._reader.read(_READ_BYTES)
                self._ended = not received
                self._http.receive_data(received)
        except h11.RemoteProtocolError as exc:
            raise self._misread() from exc
        if isinstance(event, type | h11.ConnectionClosed):
            raise self._misread()
        return event

    def _misread(self) -> SutazaiError:
        if self._ended:
            return Unavailable(f"{self._message.peer} closed the connection before its answer was whole")
        return ToolError(f"{self._message.peer} does not answer in proper HTTP")


def _joined(headers: "h11._headers.Headers") -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("ascii"), _text(value)
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def _text(value: bytes) -> str:
    """Some servers write UTF-8 where the standard has ASCII alone."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _translated(exc: OSError, peer: str) -> SutazaiError:
    if isinstance(exc, TimeoutError):
        return Unavailable(f"{peer} did not answer in time")
    if _disagrees_on_tls(exc):
        return ToolError(f"no TLS connection to {peer}: its certificate or protocol is not accepted")
    return Unavailable(f"the connection to {peer} failed")


def _disagrees_on_tls(exc: OSError) -> bool:
    """Some errors of `ssl` only say that bytes are missing, as they are where the connection broke."""
    missing = (ssl.SSLWantReadError, ssl.SSLWantWriteError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
    return isinstance(exc, ssl.SSLError) and not isinstance(exc, missing)
