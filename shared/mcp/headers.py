"""What the HTTP headers of an MCP request must say, and that they say the same as its body."""

import base64
import binascii
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from shared.asgi import Request
from shared.config import Settings
from shared.mcp.outgoing import NAMED_BY
from shared.mcp.wire import (
    CAPABILITIES_KEY,
    CLIENT_KEY,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    LEGACY,
    MODERN,
    SUPPORTED,
    UNSUPPORTED_VERSION,
    VERSION_KEY,
    Message,
    RpcError,
)
from shared.public_url import HostNames
from shared.strict_json import Json

_SINGLE: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"origin")
_ENCODED: Final = ("=?base64?", "?=")
_REMEMBERED = 256
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")


class Doorway:
    """Which hosts this server goes by, and pages of which origins may call it: a page that had its name rebound to
    our address still shows its own."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = HostNames(settings)
        self._origins = settings.origins
        self._let_in: set[tuple[bytes | None, bytes | None]] = set()

    def check(self, request: Request) -> None:
        """Raises RpcError with status 403."""
        said = (request.headers.get(b"host"), request.headers.get(b"origin"))
        if said in self._let_in:
            return
        host, origin = ((value or b"").decode("latin-1").strip().lower() for value in said)
        if host not in self._hosts:
            raise RpcError(403, f"this server does not go by the name {host[:200]!r}", status=403)
        if said[1] is not None and origin not in (f"http://{host}", f"https://{host}", *self._origins):
            raise RpcError(403, f"pages of {origin[:200]!r} may not call this server", status=403)
        if len(self._let_in) < _REMEMBERED:
            self._let_in.add(said)


def check_types(request: Request) -> None:
    """Raises RpcError: we take JSON and answer JSON."""
    if not _is_json(request.headers.get(b"content-type", b"")):
        raise RpcError(415, "the content type is not application/json", status=415)
    if not _takes_json(request.headers.get(b"accept", b"")):
        raise RpcError(406, "the Accept header does not list application/json", status=406)


@lru_cache(maxsize=_REMEMBERED)
def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip().lower() == b"application/json"


@lru_cache(maxsize=_REMEMBERED)
def _takes_json(accept: bytes) -> bool:
    return _admits(accept, b"application/json", b"application/*", b"*/*")


def takes_events(request: Request) -> bool:
    """Whether the answer may be a stream."""
    return _takes_events(request.headers.get(b"accept", b""))


@lru_cache(maxsize=_REMEMBERED)
def _takes_events(accept: bytes) -> bool:
    return _admits(accept, b"text/event-stream", b"text/*", b"*/*")


def _admits(accept: bytes, *types: bytes) -> bool:
    for part in accept.lower().split(b","):
        media_type, *parameters = (piece.strip() for piece in part.split(b";"))
        weights = (value for name, _, value in (each.partition(b"=") for each in parameters) if name == b"q")
        if media_type in types and all(weight.strip(b"0.") for weight in weights):
            return True
    return False


def check_mirrored(request: Request, arguments: Mapping[str, Json], mirrored: Mapping[bytes, str]) -> None:
    """Raises RpcError where a header says something else than the argument that it repeats."""
    sent = [name for name, _ in request.scope["headers"]]
    for header, name in mirrored.items():
        said, value = request.header(header), arguments.get(name)
        shown = f"Mcp-Param-{header[len(b'mcp-param-') :].decode()}"
        if sent.count(header) > 1:
            raise RpcError(HEADER_MISMATCH, f"Header mismatch: {shown} was sent twice")
        # Where there is no value, clients leave the header out.
        if said is None and value is None:
            continue
        if said is None or value is None or not _says(decoded(said), value):
            raise _mismatch(shown, said, value)


def _says(text: str | None, value: Json) -> bool:
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int | float):
        return text is not None and _NUMBER.fullmatch(text) is not None and float(text) == value
    return text == value


def legacy_version(request: Request, message: Message | None) -> str | None:
    """The revision with a handshake that a request is of, "" where it names none; None for the modern one.

    Raises RpcError where headers and body disagree, or the version is none of ours.
    """
    said = request.header(b"mcp-protocol-version")
    declared = message is not None and message.meta is not None and VERSION_KEY in message.meta
    if not declared and (said is None or said in LEGACY):
        return said or ""
    if message is None or message.id is None:
        if said != MODERN:
            raise unsupported(said)
        return None
    if not declared and said != MODERN:
        raise unsupported(said)
    _check_modern(request, message, said)
    return None


def unsupported(version: str | None) -> RpcError:
    data: dict[str, Json] = {"supported": [*SUPPORTED], "requested": version}
    return RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data=data)


def _check_modern(request: Request, message: Message, said: str | None) -> None:
    meta = message.meta or {}
    if missing := [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]:
        raise RpcError(INVALID_PARAMS, f"params._meta lacks {', '.join(missing)}")
    if len(request.headers) != len(request.scope["headers"]):
        _check_single(request)
    declared = meta[VERSION_KEY]
    if said is None or said != declared:
        raise _mismatch("MCP-Protocol-Version", said, declared)
    if (method := request.header(b"mcp-method")) != message.method:
        raise _mismatch("Mcp-Method", method, message.method)
    if (key := NAMED_BY.get(message.method)) and (named := message.params.get(key)) is not None:
        name = request.header(b"mcp-name")
        if name is None or decoded(name) != named:
            raise _mismatch("Mcp-Name", name, named)
    if declared != MODERN:
        raise unsupported(said)
    if not isinstance(meta[CAPABILITIES_KEY], dict) or not isinstance(meta.get(CLIENT_KEY, {}), dict):
        raise RpcError(INVALID_PARAMS, f"{CAPABILITIES_KEY} and {CLIENT_KEY} are objects")


def _check_single(request: Request) -> None:
    names = [name for name, _ in request.scope["headers"]]
    for name in _SINGLE:
        if names.count(name) > 1:
            raise RpcError(HEADER_MISMATCH, f"Header mismatch: {name.decode()} was sent twice")


def _mismatch(header: str, said: str | None, body: object) -> RpcError:
    if said is None:
        return RpcError(HEADER_MISMATCH, f"Header mismatch: {header} is missing")
    return RpcError(HEADER_MISMATCH, f"Header mismatch: {header} is {said[:200]!r}, the body says {str(body)[:200]!r}")


def decoded(value: str) -> str | None:
    """A header's value, out of the form that carries what headers cannot. None where that form is broken."""
    begin, end = _ENCODED
    if not (value.startswith(begin) and value.endswith(end) and len(value) >= len(begin) + len(end)):
        return value
    payload = value[len(begin) : -len(end)]
    try:
        raw = base64.b64decode(payload, validate=True)
        # Bits to spare would give one name two spellings.
        return raw.decode() if base64.b64encode(raw).decode() == payload else None
    except (binascii.Error, ValueError):
        return None
