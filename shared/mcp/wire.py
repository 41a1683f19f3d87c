"""JSON-RPC as MCP uses it: versions, error codes, and messages in and out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.asgi import Answer, Headers, error_headers
from shared.errors import Forbidden, Invalid, MethodNotAllowed, NotFound, SutazaiError, Unauthorized
from shared.strict_json import Json, dump, parse

MODERN: Final = "2026-07-28"
# Those that begin with `initialize`, newest first.
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
SUPPORTED: Final = (MODERN, *LEGACY)

# Of HTTP: all of them, so that a refusal says the same of each.
METHODS: Final = ("POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS")

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_KEY: Final = "io.modelcontextprotocol/clientInfo"
SERVER_KEY: Final = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
# Before 2026 only; since then it is one of the parameters that are wrong.
RESOURCE_NOT_FOUND: Final = -32002
HEADER_MISMATCH: Final = -32020
MISSING_CAPABILITY: Final = -32021
UNSUPPORTED_VERSION: Final = -32022

JSON_HEADERS: Final[Headers] = ((b"content-type", b"application/json"),)
NO_ID: Final = b"null"

_NO_PARAMS: Final[Mapping[str, Json]] = {}


class RpcError(Exception):
    """Ends a request with a JSON-RPC error."""

    def __init__(self, code: int, message: str, *, status: int = 400, data: Json = None, headers: Headers = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data
        self.headers = headers


@dataclass(slots=True)
class Message:
    """A request, or a notification where `id` is None; else `id` is JSON."""

    method: str
    params: Mapping[str, Json]
    meta: Mapping[str, Json] | None
    id: bytes | None


@dataclass(slots=True)
class Response:
    """A client's answer to what it was asked; `id` as it was asked, where it can be one of ours."""

    id: str
    result: Json
    error: Json


def message_of(body: bytes) -> Message | Response:
    """Raises RpcError for what is no single message."""
    try:
        decoded = parse(body)
    except Invalid as error:
        raise RpcError(PARSE_ERROR, error.message) from None
    if not isinstance(decoded, dict):
        batch = "; a batch is not taken" if isinstance(decoded, list) else ""
        raise RpcError(INVALID_REQUEST, f"the body is not one JSON-RPC message{batch}")
    method, params = decoded.get("method"), decoded.get("params")
    if decoded.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, "jsonrpc is not '2.0'")
    if method is None and ("result" in decoded or "error" in decoded):
        answered = decoded.get("id")
        return Response(answered if isinstance(answered, str) else "", decoded.get("result"), decoded.get("error"))
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "method is not a string")
    if not isinstance(params, dict | None):
        raise RpcError(INVALID_REQUEST, "params is not an object")
    meta = params.get("_meta") if params else None
    return Message(method, params or _NO_PARAMS, meta if isinstance(meta, dict) else None, _id(decoded))


def _id(decoded: dict[str, Json]) -> bytes | None:
    if "id" not in decoded:
        return None
    given = decoded["id"]
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise RpcError(INVALID_REQUEST, "id is neither a string nor a whole number")
    return id_of(given)


def id_of(given: str | int) -> bytes:
    return b"%d" % given if isinstance(given, int) else dump(given)


def succeeded(id: bytes, result: bytes) -> Answer:
    return Answer(200, b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id, result), JSON_HEADERS)


def refused(id: bytes, error: RpcError) -> Answer:
    said: dict[str, Json] = {"code": error.code, "message": error.message}
    if error.data is not None:
        said["data"] = error.data
    body = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id, dump(said))
    return Answer(error.status, body, (*JSON_HEADERS, *error.headers))


def rpc_error(error: SutazaiError) -> RpcError:
    """Our own errors keep their status; the code is JSON-RPC's where it has one, else the status."""
    code = {400: INVALID_PARAMS, 500: INTERNAL_ERROR}.get(error.status, error.status)
    details: dict[str, Json] = {key: str(value) for key, value in error.details.items() if value is not None}
    return RpcError(
        code,
        error.message,
        status=error.status,
        data={"code": error.code, **details},
        headers=_headers_of(error),
    )


def _headers_of(error: SutazaiError) -> Headers:
    if isinstance(error, Unauthorized):
        return ((b"www-authenticate", _challenge(error)),)
    if isinstance(error, Forbidden) and "scope" in error.details:
        return ((b"www-authenticate", _challenge(error)),)
    return error_headers(error)


def _challenge(error: Unauthorized | Forbidden) -> bytes:
    said = {"realm": "sutazai", "scope": error.needed}
    if isinstance(error, Forbidden):
        said = {"error": "insufficient_scope", "scope": str(error.details["scope"])}
    # RFC 6750: who has sent no token is told of no error.
    elif error.details.get("reason") != "token_missing":
        said["error"] = "invalid_token"
    said["resource_metadata"] = error.resource_metadata
    return ("Bearer " + ", ".join(f'{name}="{value}"' for name, value in said.items() if value)).encode()


def not_allowed(served: Iterable[str]) -> RpcError:
    named = ", ".join(served)
    return RpcError(
        MethodNotAllowed.status, f"only {named} is served here", status=405, headers=((b"allow", named.encode()),)
    )


def unknown_agent(name: str) -> RpcError:
    return rpc_error(NotFound(f"no agent {name[:64]!r}"))
