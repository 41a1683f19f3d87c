"""What a client of MCP says in the headers of a request, so that it agrees with the body."""

import base64
from collections.abc import Mapping
from typing import Final

from shared.asgi import Headers
from shared.mcp.wire import VERSION_KEY
from shared.strict_json import Json

# What names the thing that a request is about.
NAMED_BY: Final[Mapping[str, str]] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_COMMON: Final[Headers] = (
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
)
_BEGIN, _END = "=?base64?", "?="


def encoded(value: str) -> bytes:
    """As a header carries it: as it is, or in Base64 where a header could not, or where it would look like that."""
    is_plain = value.isascii() and value.isprintable() and value == value.strip()
    if is_plain and not (value.startswith(_BEGIN) and value.endswith(_END)):
        return value.encode()
    return f"{_BEGIN}{base64.b64encode(value.encode(errors='replace')).decode()}{_END}".encode()


def modern_version(message: Mapping[str, Json]) -> str | None:
    """What a message says of its revision in `_meta`; None where it says nothing, as before 2026."""
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None


def headers_of(message: Mapping[str, Json], *, version: str | None = None, session: bytes | None = None) -> Headers:
    """`version` and `session` are those of a handshake; a message that names its revision has no use for them."""
    if (modern := modern_version(message)) is not None:
        method = message.get("method")
        headers = (*_COMMON, (b"mcp-protocol-version", encoded(modern)), (b"mcp-method", encoded(str(method))))
        params = message.get("params")
        name = params.get(NAMED_BY.get(str(method), "")) if isinstance(params, dict) else None
        return (*headers, (b"mcp-name", encoded(name))) if isinstance(name, str) else headers
    legacy = () if version is None else ((b"mcp-protocol-version", encoded(version)),)
    return (*_COMMON, *legacy, *(() if session is None else ((b"mcp-session-id", session),)))
