"""JSON-RPC as MCP uses it: versions, error codes, and messages in and out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

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

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
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


def message_of(body: bytes) -> Message | Literal["response"]:
    """Raises RpcError for what is no single message. A response answers nothing that we have asked."""
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
        return "response"
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
    if isinstance(error, Forbidden):
        scope = str(error.details.get("scope", ""))
        return ((b"www-authenticate", f'Bearer error="insufficient_scope", scope="{scope}"'.encode()),)
    return error_headers(error)


def _challenge(error: Unauthorized) -> bytes:
    # RFC 6750: who has sent no token is told of no error.
    wrong = "" if error.details.get("reason") == "token_missing" else ', error="invalid_token"'
    return f'Bearer realm="sutazai"{wrong}'.encode()


def not_allowed() -> RpcError:
    return RpcError(MethodNotAllowed.status, "only POST is served here", status=405, headers=((b"allow", b"POST"),))


def unknown_agent(name: str) -> RpcError:
    return rpc_error(NotFound(f"no agent {name[:64]!r}"))
