"""What goes back and forth with a client while its request is answered."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final, get_args

from shared.answers import fits
from shared.function import LogLevel
from shared.mcp.handles import Handles
from shared.mcp.server import Exchange
from shared.mcp.stream import Outbox
from shared.mcp.wire import INVALID_PARAMS, LOG_LEVEL_KEY, RpcError
from shared.ports.mailboxes import Mailboxes
from shared.strict_json import Json, dump, load

# Somebody has to read, think and type.
ANSWER_S: Final = 600.0
_WEIGHTS: Final[Mapping[LogLevel, int]] = {level: weight for weight, level in enumerate(get_args(LogLevel))}
# Said where a client of before 2026 has not set another.
_USUAL: Final[LogLevel] = "info"
_BURST, _A_SECOND = 100.0, 20.0


class Unanswered(Exception):
    """The client gave no answer that fits what it was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Conversation:
    """Watches a run for the client that asked for it. `token` and `level` are None where it wants to hear nothing."""

    def __init__(self, exchange: Exchange, *, level: LogLevel | None, is_heard: bool) -> None:
        self.outbox = Outbox()
        self.lacking: str | None = None
        self._token = _token(exchange) if is_heard else None
        self._level = level if is_heard else None
        self._is_resumable = is_heard and exchange.session is not None and exchange.session.is_resumable
        self._percent = -1.0
        self._allowed = _BURST
        self._at = time.monotonic()

    @property
    def is_heard(self) -> bool:
        return self._token is not None or self._level is not None

    def progress(self, percent: float, message: str) -> None:
        # It has to rise, and a run that begins anew would go back.
        if self._token is None or percent <= self._percent or not self._may_speak():
            return
        self._percent = percent
        said: dict[str, Json] = {"progressToken": self._token, "progress": percent, "total": 100}
        self._notify("notifications/progress", {**said, "message": message} if message else said)

    def log(self, level: LogLevel, data: Json, logger: str) -> None:
        if self._level is None or _WEIGHTS[level] < _WEIGHTS[self._level] or not self._may_speak():
            return
        said: dict[str, Json] = {"level": level, "data": data}
        self._notify("notifications/message", {**said, "logger": logger} if logger else said)

    def lacks(self, capability: str) -> None:
        self.lacking = capability

    def detached(self) -> None:
        if self._is_resumable:
            self.outbox.let_go()

    def _notify(self, method: str, params: dict[str, Json]) -> None:
        self.outbox.put(dump({"jsonrpc": "2.0", "method": method, "params": params}))

    def _may_speak(self) -> bool:
        now = time.monotonic()
        self._allowed = min(_BURST, self._allowed + (now - self._at) * _A_SECOND)
        self._at = now
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    async def asked(
        self, requests: Mapping[str, Json], exchange: Exchange, handles: Handles, mailboxes: Mailboxes
    ) -> dict[str, Json]:
        """Answers from a client of before 2026, who is asked on the stream. Raises Unanswered."""
        try:
            async with asyncio.timeout(ANSWER_S), asyncio.TaskGroup() as group:
                waiting = {
                    key: group.create_task(self._answer(request, exchange, handles, mailboxes))
                    for key, request in requests.items()
                }
        except TimeoutError:
            raise Unanswered(f"the client did not answer within {ANSWER_S:g} s") from None
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        return {key: task.result() for key, task in waiting.items()}

    async def _answer(self, request: Json, exchange: Exchange, handles: Handles, mailboxes: Mailboxes) -> Json:
        assert isinstance(request, dict)
        question = handles.question(exchange.caller.user_id)
        async with mailboxes.opened(question) as box:
            self.outbox.put(dump({"jsonrpc": "2.0", "id": question, **request}), droppable=False)
            said = load(await box.receive())
        assert isinstance(said, dict)
        if (error := said.get("error")) is not None:
            why = error.get("message") if isinstance(error, dict) else None
            raise Unanswered(f"the client refused {request['method']!s}: {str(why)[:500]}")
        if not fits(request, said.get("result")):
            raise Unanswered(f"what the client answered to {request['method']!s} is not what it was asked for")
        return said.get("result")


def asked_level(exchange: Exchange) -> LogLevel | None:
    """From which weight on a client of 2026 wants to hear of this request. Raises RpcError for what is no level."""
    given = (exchange.message.meta or {}).get(LOG_LEVEL_KEY)
    return None if given is None else level_of(given)


def level_of(given: Json) -> LogLevel:
    """Raises RpcError."""
    for level in _WEIGHTS:
        if level == given:
            return level
    raise RpcError(INVALID_PARAMS, f"a level is one of {', '.join(_WEIGHTS)}")


def level_in_session(set_level: LogLevel | None) -> LogLevel:
    return set_level or _USUAL


def _token(exchange: Exchange) -> str | int | None:
    given = (exchange.message.meta or {}).get("progressToken")
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int)):
        raise RpcError(INVALID_PARAMS, "progressToken is neither a string nor a whole number")
    return given
