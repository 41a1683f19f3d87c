"""From the gateway to a worker: agents' MCP servers answer here, and run where actions may."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from shared.asgi import Answer, Request
from shared.errors import SutazaiError
from shared.forwarding import Lost, connections, sent_on
from shared.function import LONGEST_TASK_S, MIB
from shared.mcp.headers import Doorway
from shared.mcp.wire import INTERNAL_ERROR, METHODS, NO_ID, RpcError, refused, rpc_error, unknown_agent
from shared.stores.agent_servers import Workers
from shared.wiring import Ports


class McpForward:
    """`/mcp/{agent}`, for the agents that workers serve."""

    timeout_s = LONGEST_TASK_S + 30.0

    def __init__(self, agents: Collection[str]) -> None:
        self._agents = frozenset(agents)

    @property
    def routes(self) -> "list[tuple[str, str, McpForward]]":
        return [(method, "/mcp/{agent}", self) for method in METHODS]

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        self._door = Doorway(ports.settings)
        self._workers = Workers(ports.settings.home / "run")
        async with connections() as self._connections:
            yield

    async def answer(self, request: Request, path: Mapping[str, str]) -> Answer:
        try:
            self._door.check(request)
            if path["agent"] not in self._agents:
                raise unknown_agent(path["agent"])
            body = await request.body(MIB)
            addresses = self._workers.in_turn()
            return await self._connections.forward(request, addresses, request.path, sent_on(request), body)
        except RpcError as error:
            return refused(NO_ID, error)
        except SutazaiError as error:
            return refused(NO_ID, rpc_error(error))
        except Lost:
            # It may have run: whether it did is in the caller's history, and it is not for us to run it again.
            return refused(NO_ID, RpcError(INTERNAL_ERROR, "the worker that had this call ended", status=502))
