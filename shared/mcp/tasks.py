"""The extension io.modelcontextprotocol/tasks over our durable tasks: a call's handle, and what becomes of it."""

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

from shared.answers import fits
from shared.catalog import action
from shared.dialogue import capability_for
from shared.errors import Conflict, NotFound
from shared.function import Caller, Spec
from shared.identity import authorize
from shared.mcp.server import Exchange, Result
from shared.mcp.tools import ActionTool, result_members
from shared.mcp.wire import CAPABILITIES_KEY, INTERNAL_ERROR, INVALID_PARAMS, MISSING_CAPABILITY, Message, RpcError
from shared.ports.tasks import NewTask, Outcome, Task, Tasks
from shared.strict_json import Json, dump
from shared.wiring import Ports

P = TypeVar("P")

EXTENSION: Final = "io.modelcontextprotocol/tasks"
READ_SCOPE: Final = "tasks:read"
WRITE_SCOPE: Final = "tasks:write"
# Long enough for people who are asked something and not there.
TTL_S: Final = 86_400.0
# What has gone on for long goes on for longer, and every look counts against the caller's rate.
POLL_MS: Final = range(1000, 30_000)
_POLLS_OF_AGE: Final = 10
# What went wrong with the call, and not in the tool: everything else is the tool's answer.
_OF_THE_CALL: Final = frozenset({"INTERNAL_ERROR", "WORKER_LOST", "CALLER_LOST"})
_KEY_CHARACTERS: Final = 128

_WORKING, _ASKING, _COMPLETED, _FAILED, _CANCELLED = "working", "input_required", "completed", "failed", "cancelled"


def declared(message: Message) -> bool:
    """Whether the client takes tasks: each request says so for itself."""
    return EXTENSION in _members(_capabilities(message).get("extensions"))


def _capabilities(message: Message) -> Mapping[str, Json]:
    return _members((message.meta or {}).get(CAPABILITIES_KEY))


def _members(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def check_declared(message: Message) -> None:
    """Raises RpcError."""
    if not declared(message):
        needed: Json = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        raise RpcError(MISSING_CAPABILITY, f"the client has not declared the extension {EXTENSION}", data=needed)


class McpTasks:
    """Of one agent, or of all where `agent` is None."""

    def __init__(self, ports: Ports, *, agent: str | None = None) -> None:
        self._ports = ports
        self._agent = agent
        self._opening = asyncio.Lock()

    async def opened(self, port: type[P]) -> P:
        """With the first request that needs it: a replica that only answers calls starts without."""
        async with self._opening:
            return await self._ports.open(port)

    def becomes_task(self, spec: Spec, exchange: Exchange) -> bool:
        """Whether a call is answered with a task. Raises RpcError and Forbidden where it must be and cannot."""
        tool = spec.tool
        if tool.task == "forbidden" or exchange.legacy is not None:
            return False
        takes = declared(exchange.message)
        if tool.task == "required":
            check_declared(exchange.message)
            authorize(exchange.caller, READ_SCOPE)
        return takes and READ_SCOPE in exchange.caller.scopes

    async def create(self, spec: Spec, arguments: Mapping[str, Json], exchange: Exchange) -> Result:
        """The handle, once the task cannot be lost any more."""
        user_id, key = exchange.caller.user_id, _key(exchange)
        digest = hashlib.sha256(dump([spec.agent, spec.tool.name, dict(arguments)])).digest() if key else None
        new = NewTask(
            user_id=user_id,
            agent=spec.agent,
            tool=spec.tool.name,
            parameters=arguments,
            timeout_ms=int(spec.timeout_s * 1000),
            ttl_s=TTL_S,
            key=key,
            digest=digest,
            dialogue=exchange.dialogue,
        )
        tasks = await self.opened(Tasks)
        [task_id] = await tasks.accept([new])
        task = await tasks.get(user_id, task_id)
        if task is None:
            raise NotFound(f"no task {task_id!s}")
        return Result(_inner(_shown(task, _status(task, await self._questions(task, user_id)))), type=b"task")

    async def get(self, exchange: Exchange) -> Result:
        check_declared(exchange.message)
        authorize(exchange.caller, READ_SCOPE)
        task_id = task_id_of(exchange.message)
        found = await self.detailed(exchange.caller, task_id, exchange.message)
        if found is None:
            raise unknown(task_id)
        return Result(found)

    async def detailed(self, caller: Caller, task_id: str, message: Message) -> bytes | None:
        """A task's state with its result, its error or what it asks, as members; None where the caller has no such."""
        task = await self._task(caller, task_id)
        if task is None:
            return None
        asked = await self._questions(task, caller.user_id)
        status = _status(task, asked)
        shown = _shown(task, status)
        if status == _ASKING:
            # Nobody is asked what they have not declared, even if whoever called the tool had.
            can = _capabilities(message)
            shown["inputRequests"] = {key: asked[key] for key in asked if capability_for(asked[key]) in can}
        if status == _FAILED:
            shown["error"] = {"code": INTERNAL_ERROR, "message": _why(task)}
        if status == _COMPLETED:
            return _inner(shown) + b',"result":{%b}' % _said(task)
        return _inner(shown)

    async def _questions(self, task: Task, user_id: UUID) -> Mapping[str, Json]:
        if task.status != "queued":
            return {}
        return await (await self.opened(Tasks)).questions(user_id, task.task_id)

    async def _task(self, caller: Caller, task_id: str) -> Task | None:
        named = _uuid(task_id)
        task = None if named is None else await (await self.opened(Tasks)).get(caller.user_id, named)
        return task if task is not None and self._agent in (None, task.agent_id) else None

    async def update(self, exchange: Exchange) -> Result:
        """Takes answers; those to what is not asked, or not any more, change nothing."""
        task = await self._changed(exchange)
        answers = exchange.message.params.get("inputResponses")
        if not isinstance(answers, dict):
            raise RpcError(INVALID_PARAMS, "inputResponses is not an object")
        tasks, user_id = await self.opened(Tasks), exchange.caller.user_id
        asked = await tasks.questions(user_id, task.task_id)
        wanted = {key: said for key, said in answers.items() if key in asked}
        for key, said in wanted.items():
            if not fits(asked[key], said):
                raise RpcError(INVALID_PARAMS, f"inputResponses[{key[:64]!r}] is no answer to what was asked")
        if wanted:
            await tasks.answer(user_id, task.task_id, wanted)
        return Result(b"")

    async def cancel(self, exchange: Exchange) -> Result:
        """Acknowledged however the task stands: it may end by itself at the same time."""
        task = await self._changed(exchange)
        with suppress(Conflict):
            await (await self.opened(Tasks)).cancel(exchange.caller.user_id, task.task_id)
        return Result(b"")

    async def _changed(self, exchange: Exchange) -> Task:
        check_declared(exchange.message)
        authorize(exchange.caller, WRITE_SCOPE)
        task_id = task_id_of(exchange.message)
        task = await self._task(exchange.caller, task_id)
        if task is None:
            raise unknown(task_id)
        return task


_STATUS: Final[Mapping[str, str]] = {
    "queued": _WORKING,
    "running": _WORKING,
    "succeeded": _COMPLETED,
    "cancelled": _CANCELLED,
    "expired": _FAILED,
}


def _status(task: Task, asked: Mapping[str, Json]) -> str:
    if asked:
        return _ASKING
    if task.status == "failed":
        return _FAILED if task.error is None or task.error.code in _OF_THE_CALL else _COMPLETED
    return _STATUS[task.status]


def task_id_of(message: Message) -> str:
    task_id = message.params.get("taskId")
    if not isinstance(task_id, str):
        raise RpcError(INVALID_PARAMS, "taskId is not a string")
    return task_id


def _uuid(text: str) -> UUID | None:
    """In the spelling that was given out."""
    try:
        named = UUID(text)
    except ValueError:
        return None
    return named if str(named) == text else None


def unknown(task_id: str) -> RpcError:
    return RpcError(INVALID_PARAMS, f"no task {task_id[:64]!r}")


def _key(exchange: Exchange) -> str | None:
    """A blank in it keeps it apart from the keys of other requests."""
    sent = exchange.request.header(b"idempotency-key")
    if sent is not None and not (1 <= len(sent) <= _KEY_CHARACTERS and all("!" <= one <= "~" for one in sent)):
        raise RpcError(INVALID_PARAMS, f"an Idempotency-Key is 1 to {_KEY_CHARACTERS} visible ASCII characters")
    return None if sent is None else f"{sent} mcp"


def _shown(task: Task, status: str) -> dict[str, Json]:
    shown: dict[str, Json] = {"taskId": str(task.task_id), "status": status}
    if said := _why(task) if status in (_FAILED, _CANCELLED) else task.message:
        shown["statusMessage"] = said
    updated = task.events[-1].at if task.events else task.finished_at or task.started_at or task.created_at
    return {
        **shown,
        "createdAt": _time(task.created_at),
        "lastUpdatedAt": _time(updated),
        "ttlMs": round((task.expires_at - task.created_at).total_seconds() * 1000),
        "pollIntervalMs": poll_ms(task.created_at),
    }


def poll_ms(created_at: datetime) -> int:
    age_ms = (datetime.now(UTC) - created_at).total_seconds() * 1000
    return min(max(round(age_ms / _POLLS_OF_AGE), POLL_MS.start), POLL_MS.stop)


def _why(task: Task) -> str:
    if task.status == "expired":
        return "the task was not begun, or not answered, within its time"
    if task.status == "cancelled":
        return "the task was cancelled"
    return task.error.message if task.error else "the task failed"


def _said(task: Task) -> bytes:
    """What the call would have been answered with."""
    outcome = Outcome("succeeded", task.result) if task.status == "succeeded" else Outcome("failed", error=task.error)
    try:
        tool = ActionTool.of(action(task.agent_id, task.task))
    except LookupError:
        raise NotFound(f"the tool {task.task!r} is gone, and with it the form of its answer") from None
    return result_members(tool.said(outcome))


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _inner(members: Mapping[str, Json]) -> bytes:
    return dump(dict(members))[1:-1]
