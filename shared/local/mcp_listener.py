"""Where a worker answers MCP: one port of loopback for all agents, known to the gateway alone."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from shared.catalog import agents
from shared.endpoints import Endpoint
from shared.function import Spec
from shared.mcp.agent import server_for
from shared.serve import App, server_of
from shared.wiring import Ports
from shared.worker import Worker

_DRAIN_S = 10


class _Servers:
    def __init__(self, actions: Sequence[Spec], worker: Worker) -> None:
        self._worker = worker
        self._endpoints = [server_for(mine) for mine in agents(tuple(actions)).values()]

    @property
    def routes(self) -> list[tuple[str, str, Endpoint]]:
        return [route for endpoint in self._endpoints for route in endpoint.routes]

    @asynccontextmanager
    async def opened(self, ports: Ports) -> AsyncIterator[None]:
        for endpoint in self._endpoints:
            await endpoint.serve(ports, self._worker)
        yield


@asynccontextmanager
async def listening(actions: Sequence[Spec], *, worker: Worker, ports: Ports) -> AsyncIterator[str]:
    """The address; on leaving, what is running ends first."""
    servers = _Servers(actions, worker)
    app = App([], beside=[servers], routes=servers.routes, ports=ports)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        async with app.running():
            server = server_of(app, host=host, port=port, drain_s=_DRAIN_S)
            # Signals are the worker's: it stops claiming, and then this.
            server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield f"{host}:{port}"
            finally:
                server.should_exit = True
                await asyncio.wait([serving])
