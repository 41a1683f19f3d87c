"""`/mcp/{agent}`: one agent's actions as an MCP server; every call is an execution attached to its caller."""

import importlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from shared.asgi import Answer, Disconnected, Request
from shared.connected import WhileConnected
from shared.errors import SutazaiError
from shared.function import MIB, Caller, Spec
from shared.gate import Gate
from shared.identity import authorize
from shared.mcp.headers import Doorway, check_types, legacy_version
from shared.mcp.tools import ActionTool, Said, ToolList
from shared.mcp.wire import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LEGACY,
    METHOD_NOT_FOUND,
    METHODS,
    NO_ID,
    SERVER_KEY,
    SUPPORTED,
    Message,
    RpcError,
    message_of,
    not_allowed,
    refused,
    rpc_error,
    succeeded,
)
from shared.strict_json import Json, dump
from shared.version import VERSION
from shared.wiring import Ports
from shared.worker import Worker

logger = logging.getLogger("sutazai.mcp")

SCOPE: Final = "agents:execute"
# Every tool is the same for every caller, and changes only with the version.
_TOOLS_CACHED: Final = b'"ttlMs":300000,"cacheScope":"public"'
_DISCOVERY_CACHED: Final = b'"ttlMs":3600000,"cacheScope":"public"'
_CAPABILITIES: Final = b'{"tools":{"listChanged":false}}'

Method = Callable[["McpEndpoint", Message, Request, Caller], Awaitable[bytes]]


class McpEndpoint:
    """Stateless in both eras: whatever a request needs lies in it, so any replica answers."""

    worker: Worker

    def __init__(self, actions: Sequence[Spec]) -> None:
        self.agent = actions[0].agent
        self.timeout_s = max(spec.timeout_s for spec in actions) + 10.0
        self._actions = actions
        self._gate = Gate(SCOPE)

    @property
    def routes(self) -> "list[tuple[str, str, McpEndpoint]]":
        return [(method, f"/mcp/{self.agent}", self) for method in METHODS]

    async def open(self, ports: Ports, worker: Worker) -> None:
        self.worker = worker
        self._tools = ToolList([ActionTool.of(spec) for spec in self._actions])
        self._door = Doorway(ports.settings)
        self._server = dump(_server_info(self._actions))
        self._meta = b'"_meta":{"%b":%b' % (SERVER_KEY.encode(), self._server)
        self._instructions = dump(_instructions(self._actions))
        await self._gate.open(ports)

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        try:
            caller = await self._admitted(request)
            message = message_of(await request.body(MIB))
        except RpcError as error:
            return refused(NO_ID, error)
        except SutazaiError as error:
            return refused(NO_ID, rpc_error(error))
        if isinstance(message, Message) and message.id is not None:
            return await self._answered(message, message.id, request, caller)
        return _acknowledged(message, request)

    async def _admitted(self, request: Request) -> Caller:
        self._door.check(request)
        if request.method != "POST":
            raise not_allowed()
        caller = await self._gate.caller(request)
        check_types(request)
        return caller

    async def _answered(self, message: Message, id: bytes, request: Request, caller: Caller) -> Answer:
        legacy: str | None = None
        try:
            legacy = legacy_version(request, message)
            method = (_MODERN if legacy is None else _WITH_HANDSHAKE).get(message.method)
            if method is None:
                raise RpcError(METHOD_NOT_FOUND, f"no method {message.method[:64]!r}", status=404)
            return succeeded(id, await method(self, message, request, caller))
        except RpcError as error:
            # Clients from before 2026 take only a 200 for an answer, and anything else for a broken connection.
            if legacy is not None and error.code in (METHOD_NOT_FOUND, INVALID_PARAMS):
                error.status = 200
            return refused(id, error)
        except SutazaiError as error:
            return refused(id, rpc_error(error))
        except Disconnected:
            raise
        except Exception:
            logger.exception("%s failed (request %s)", message.method[:64], request.request_id)
            return refused(id, RpcError(INTERNAL_ERROR, "something went wrong on our side", status=500))

    async def discover(self, message: Message, request: Request, caller: Caller) -> bytes:
        return b'{"resultType":"complete","supportedVersions":%b,"capabilities":%b,"instructions":%b,%b,%b}}' % (
            dump(list(SUPPORTED)),
            _CAPABILITIES,
            self._instructions,
            _DISCOVERY_CACHED,
            self._meta,
        )

    async def initialize(self, message: Message, request: Request, caller: Caller) -> bytes:
        asked = message.params.get("protocolVersion")
        if not isinstance(asked, str):
            raise RpcError(INVALID_PARAMS, "protocolVersion is not a string")
        version = asked if asked in LEGACY else LEGACY[0]
        return b'{"protocolVersion":"%b","capabilities":%b,"serverInfo":%b,"instructions":%b}' % (
            version.encode(),
            _CAPABILITIES,
            self._server,
            self._instructions,
        )

    async def ping(self, message: Message, request: Request, caller: Caller) -> bytes:
        return b"{}"

    async def list_tools(self, message: Message, request: Request, caller: Caller) -> bytes:
        return b'{"resultType":"complete",%b,%b,%b}}' % (self._page(message), _TOOLS_CACHED, self._meta)

    async def list_tools_legacy(self, message: Message, request: Request, caller: Caller) -> bytes:
        return b"{%b}" % self._page(message)

    def _page(self, message: Message) -> bytes:
        cursor = message.params.get("cursor")
        page = self._tools.page(cursor) if isinstance(cursor, str | None) else None
        if page is None:
            raise RpcError(INVALID_PARAMS, "this cursor is none of ours")
        return page

    async def call_tool(self, message: Message, request: Request, caller: Caller) -> bytes:
        said, task_id = await self._called(message, request, caller)
        return b'{"resultType":"complete",%b,%b,"sutazai/task_id":"%b"}}' % (_result(said), self._meta, task_id)

    async def call_tool_legacy(self, message: Message, request: Request, caller: Caller) -> bytes:
        said, task_id = await self._called(message, request, caller)
        return b'{%b,"_meta":{"sutazai/task_id":"%b"}}' % (_result(said), task_id)

    async def _called(self, message: Message, request: Request, caller: Caller) -> tuple[Said, bytes]:
        """The answer, and the id of the execution."""
        tool, arguments = self._asked(message)
        if tool.spec.tool.scope != SCOPE:
            authorize(caller, tool.spec.tool.scope)
        with WhileConnected(request):
            task_id, outcome = await self.worker.attached(tool.spec, caller.user_id, arguments)
        return tool.said(outcome), str(task_id).encode()

    def _asked(self, message: Message) -> tuple[ActionTool, dict[str, Json]]:
        name, arguments = message.params.get("name"), message.params.get("arguments")
        if not isinstance(name, str):
            raise RpcError(INVALID_PARAMS, "name is not a string")
        if not isinstance(arguments, dict | None):
            raise RpcError(INVALID_PARAMS, "arguments is not an object")
        if (tool := self._tools.by_name.get(name)) is None:
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:128]}")
        return tool, arguments or {}


_MODERN: Final[Mapping[str, Method]] = {
    "server/discover": McpEndpoint.discover,
    "tools/list": McpEndpoint.list_tools,
    "tools/call": McpEndpoint.call_tool,
}
_WITH_HANDSHAKE: Final[Mapping[str, Method]] = {
    "initialize": McpEndpoint.initialize,
    "ping": McpEndpoint.ping,
    "tools/list": McpEndpoint.list_tools_legacy,
    "tools/call": McpEndpoint.call_tool_legacy,
}


def _acknowledged(message: Message | str, request: Request) -> Answer:
    """A notification, or a response: taken, and nothing follows, since nothing here outlives its request."""
    try:
        legacy = legacy_version(request, message if isinstance(message, Message) else None)
        if legacy is None and not isinstance(message, Message):
            raise RpcError(INVALID_REQUEST, "responses are not taken: nothing was asked")
    except RpcError as error:
        return refused(NO_ID, error)
    return Answer(202)


def _result(said: Said) -> bytes:
    structured = b"" if said.structured is None else b'"structuredContent":%b,' % said.structured
    return b'"content":%b,%b"isError":%b' % (said.content, structured, b"true" if said.is_error else b"false")


def _server_info(actions: Sequence[Spec]) -> dict[str, Json]:
    name = actions[0].agent
    return {"name": name, "title": name.replace("-", " ").title(), "version": VERSION}


def _instructions(actions: Sequence[Spec]) -> str:
    return inspect.getdoc(importlib.import_module(actions[0].module.rpartition(".")[0])) or ""
