"""What the HTTP headers of an MCP request must say, and that they say the same as its body."""

import base64
import binascii
from functools import lru_cache
from typing import Final

from shared.asgi import Request
from shared.config import Settings
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
from shared.strict_json import Json

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SINGLE: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"origin")
# What names the thing that a request is about.
_NAMED_BY: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED: Final = ("=?base64?", "?=")
_REMEMBERED = 256


class Doorway:
    """Which hosts this server goes by, and pages of which origins may call it: a page that had its name rebound to
    our address still shows its own."""

    def __init__(self, settings: Settings) -> None:
        self._hosts = _LOOPBACK | {host for host in settings.hosts if not host.startswith("*.")}
        self._suffixes = tuple(host[1:] for host in settings.hosts if host.startswith("*."))
        self._origins = settings.origins
        self._let_in: set[tuple[bytes | None, bytes | None]] = set()

    def check(self, request: Request) -> None:
        """Raises RpcError with status 403."""
        said = (request.headers.get(b"host"), request.headers.get(b"origin"))
        if said in self._let_in:
            return
        host, origin = ((value or b"").decode("latin-1").strip().lower() for value in said)
        name = _without_port(host)
        if name not in self._hosts and not (self._suffixes and name.endswith(self._suffixes)):
            raise RpcError(403, f"this server does not go by the name {host[:200]!r}", status=403)
        if said[1] is not None and origin not in (f"http://{host}", f"https://{host}", *self._origins):
            raise RpcError(403, f"pages of {origin[:200]!r} may not call this server", status=403)
        if len(self._let_in) < _REMEMBERED:
            self._let_in.add(said)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


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
    return any(_admits_json(part.lower().split(b";")) for part in accept.split(b","))


def _admits_json(parts: list[bytes]) -> bool:
    media_type, *parameters = (part.strip() for part in parts)
    refused = any(name == b"q" and not value.strip(b"0.") for name, _, value in (p.partition(b"=") for p in parameters))
    return media_type in (b"application/json", b"application/*", b"*/*") and not refused


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
    if (key := _NAMED_BY.get(message.method)) and (named := message.params.get(key)) is not None:
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
