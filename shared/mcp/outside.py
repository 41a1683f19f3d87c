"""`/mcp/mcp-servers`: the approved tools of all servers outside, each call an execution under its server's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import JsonValue, RootModel

from shared.catalog import OUTSIDE
from shared.function import Caller, Spec
from shared.mcp.bridge.names import parted
from shared.mcp.bridge.registry import Registry
from shared.mcp.endpoint import McpEndpoint
from shared.mcp.methods import SCOPE
from shared.mcp.server import Exchange, Kind, Offered, Result, Server
from shared.mcp.tasks import McpTasks
from shared.mcp.tools import error_members
from shared.mcp.wire import INVALID_PARAMS, RpcError
from shared.ports.mcp_servers import McpServers
from shared.strict_json import Json
from shared.version import VERSION
from shared.wiring import Ports
from shared.worker import Worker

_OFFERED: Final = Offered(scope=SCOPE, talks=True)


class _Arguments(RootModel[dict[str, JsonValue]]):
    """Whatever the server outside takes: it checks them itself."""


@dataclass(frozen=True, kw_only=True)
class _OutsideTool(Spec):
    """One tool there as an action: the history shows it under its server's name and its own."""

    server: str

    @property
    def agent(self) -> str:
        return self.server


class OutsideServer(McpEndpoint):
    def __init__(self, actions: Sequence[Spec]) -> None:
        [action] = actions
        self.mine = OutsideCatalogue(action)
        super().__init__(f"/mcp/{OUTSIDE}", self.mine, timeout_s=action.timeout_s + 10.0)

    async def serve(self, ports: Ports, worker: Worker) -> None:
        await self.mine.open(ports, worker)
        await self.open(ports)


class OutsideCatalogue:
    """`action` calls any of them."""

    server = Server(name=OUTSIDE, title="MCP servers outside", version=VERSION)
    capabilities: Mapping[str, Json] = {"tools": {"listChanged": False}}

    def __init__(self, action: Spec) -> None:
        self._action = action

    async def open(self, ports: Ports, worker: Worker) -> None:
        self._worker = worker
        self._servers = await ports.open(McpServers)
        self._registry = Registry((), lambda _: ((), ()), self._servers)
        self.tasks = McpTasks(ports, agent=OUTSIDE)

    async def list(self, kind: Kind, cursor: str | None, caller: Caller) -> Result:
        return await self._registry.list(kind, cursor, caller)

    async def tool(self, name: str, caller: Caller) -> Offered:
        server, _ = parted(name)
        if not server or not await self._registry.knows(server):
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {name[:128]}")
        return _OFFERED

    async def call(self, name: str, arguments: Mapping[str, Json], exchange: Exchange) -> Result:
        spec = self._spec(*parted(name))
        task_id, outcome = await self._worker.attached(
            spec, exchange.caller.user_id, arguments, watcher=exchange.watcher
        )
        meta = b'"sutazai/task_id":"%b"' % str(task_id).encode()
        if outcome.status != "succeeded" or not isinstance(outcome.result, dict):
            message = outcome.error.message if outcome.error else "the tool failed"
            return Result(error_members(message), meta=meta, failed=True)
        members = outcome.as_json()[1:-1] + b',"isError":false'
        return Result(members, meta=meta)

    def _spec(self, server: str, name: str) -> _OutsideTool:
        action = self._action

        async def call(given: _Arguments, **ports: object) -> object:
            assert action.payload is not None
            asked = action.payload.model_validate({"server": server, "tool": name, "arguments": given.root})
            return await action.handler(asked, **ports)

        trigger = replace(action.tool, name=name, title=name)
        return _OutsideTool(
            name=action.name,
            module=action.module,
            handler=call,
            trigger=trigger,
            timeout_s=action.timeout_s,
            scale=action.scale,
            payload=_Arguments,
            ports=action.ports,
            result=action.result,
            server=server,
        )

    async def read(self, uri: str, exchange: Exchange) -> Result:
        raise RpcError(INVALID_PARAMS, "Resource not found", data={"uri": uri})

    async def get(self, name: str, arguments: Mapping[str, str], exchange: Exchange) -> Result:
        raise RpcError(INVALID_PARAMS, f"Unknown prompt: {name[:128]}")

    async def complete(
        self, reference: Mapping[str, Json], name: str, value: str, known: Mapping[str, str], caller: Caller
    ) -> Result:
        raise RpcError(INVALID_PARAMS, "nothing is completed here")
