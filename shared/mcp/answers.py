"""What servers outside answer, read with care: messages, results, and what went wrong in words."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from shared import strict_json
from shared.errors import Invalid, ToolError, Unavailable
from shared.function import MIB
from shared.mcp.definitions import text
from shared.mcp.sse import Overlong, SseReader
from shared.mcp.wire import HEADER_MISMATCH, LEGACY, MISSING_CAPABILITY, UNSUPPORTED_VERSION
from shared.ports.egress import Response
from shared.strict_json import Json

_ANSWER_BYTES = 5 * MIB
# What only a server of 2026 and later says.
_MODERN_ERRORS: Final = frozenset({UNSUPPORTED_VERSION, HEADER_MISMATCH, MISSING_CAPABILITY})
Progress = Callable[[float, str], None]


class Refusal(Exception):
    """A JSON-RPC error, or an answer that is none at all (`code` 0)."""

    def __init__(self, status: int, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.data = data


class Stream:
    """Listens to an answer while it comes."""

    def __init__(self, progress: Progress | None) -> None:
        self._events = SseReader(limit_bytes=_ANSWER_BYTES)
        self._progress = progress
        self.answer: bytes | None = None

    def heard(self, headers: Mapping[str, str], piece: bytes) -> bool:
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "text/event-stream":
            return False
        try:
            for data in self._events.feed(piece):
                if self._is_answer(data):
                    self.answer = data
                    return True
        except Overlong:
            raise ToolError("one of its messages is too large") from None
        return False

    def _is_answer(self, data: bytes) -> bool:
        message = _parsed(data)
        if "method" not in message:
            return True
        params = message.get("params")
        if message["method"] == "notifications/progress" and isinstance(params, dict) and self._progress is not None:
            done, total = params.get("progress"), params.get("total")
            if isinstance(done, int | float) and isinstance(total, int | float) and total > 0:
                self._progress(100.0 * done / total, text(params.get("message"), 500))
        return False


@contextmanager
def worded(name: str) -> Iterator[None]:
    """Puts whatever goes wrong into words for whoever called, with the server's name."""
    try:
        yield
    except TimeoutError as exc:
        raise ToolError(f"the MCP server {name!r} took too long") from exc
    except Refusal as exc:
        raise ToolError(_reason(name, exc)) from exc
    except (ToolError, Unavailable) as exc:
        raise type(exc)(f"the MCP server {name!r}: {exc.message}", **exc.details) from exc


def _reason(name: str, refusal: Refusal) -> str:
    if refusal.status in (401, 403):
        return f"the MCP server {name!r} does not accept the credentials it was shown ({refusal.status})"
    if refusal.status == 429:
        return f"the MCP server {name!r} was asked too often; try again later"
    return f"the MCP server {name!r} refused: {text(refusal.message, 500)}"


def falls_back(refusal: Refusal) -> bool:
    """Whether a server that did not take a modern request may take a handshake."""
    if refusal.code == UNSUPPORTED_VERSION:
        supported = refusal.data.get("supported") if isinstance(refusal.data, dict) else None
        return isinstance(supported, list) and any(version in LEGACY for version in supported)
    return refusal.code not in _MODERN_ERRORS


def _parsed(body: bytes) -> dict[str, Json]:
    try:
        message = strict_json.parse(body, string_bytes=_ANSWER_BYTES)
    except Invalid as exc:
        raise ToolError(f"its answer is no message: {exc.message}") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise ToolError("its answer is no message of JSON-RPC")
    return message


def answer_of(answer: Response, number: Json) -> dict[str, Json]:
    """The result. Raises Refusal for an error, ToolError for what is neither."""
    if 300 <= answer.status < 400:
        raise ToolError(f"it redirects elsewhere ({answer.status}); such a URL is not followed")
    message: dict[str, Json] = {}
    try:
        message = _parsed(answer.body)
    except ToolError:
        if answer.status == 200:
            raise
    error = message.get("error")
    if isinstance(error, dict):
        code = error.get("code")
        raise Refusal(
            answer.status, code if isinstance(code, int) else 0, text(error.get("message"), 500), error.get("data")
        )
    if answer.status >= 400 or not message:
        raise Refusal(answer.status, 0, f"it answered {answer.status}")
    result = message.get("result")
    if message.get("id") != number or not isinstance(result, dict):
        raise ToolError("its answer is none to what was asked")
    return result


def result_of(result: dict[str, Json]) -> dict[str, Json]:
    """What a tool said, without what is only between its server and us. Raises ToolError for what is no result."""
    if result.get("resultType", "complete") != "complete":
        raise ToolError("it asks for something more before it answers, which cannot be given here")
    content, structured = result.get("content", []), result.get("structuredContent")
    if not isinstance(content, list) or not all(map(_is_block, content)):
        raise ToolError("the result of its tool is none")
    if structured is not None and not isinstance(structured, dict):
        raise ToolError("the data in the result of its tool is no object")
    if result.get("isError") is True:
        said = "\n".join(t for b in content if isinstance(b, dict) and isinstance(t := b.get("text"), str))
        raise ToolError(said[:2000] or "the tool failed and said nothing")
    found: dict[str, Json] = {"content": content}
    if structured is not None:
        found["structuredContent"] = structured
    return found


def _is_block(block: Json) -> bool:
    return isinstance(block, dict) and isinstance(block.get("type"), str)
