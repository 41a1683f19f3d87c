"""Agents behind real sockets, for clients that are other programs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from shared.asgi import Receive, Scope, Send
from shared.catalog import actions_of, find
from shared.config import Settings
from shared.function import Spec
from shared.local import mcp_listener
from shared.serve import App, server_of
from shared.wiring import Ports
from shared.worker import Worker


class LetIn(App):
    """For clients that cannot be told of a token: every request is sent by whoever holds it."""

    token = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.token:
            bearer = (b"authorization", f"Bearer {self.token}".encode())
            scope = {**scope, "headers": [*scope["headers"], bearer]}
        await super().__call__(scope, receive, send)


@asynccontextmanager
async def listening(settings: Settings, agent: str, *, token: str = "") -> AsyncIterator[str]:
    """Its URL. With `token`, callers need none."""
    async with _served(actions_of(agent), settings, token) as address:
        yield f"{address}/mcp/{agent}"


@asynccontextmanager
async def bridging(settings: Settings, agents: Sequence[str], *, token: str = "") -> AsyncIterator[str]:
    """The URL of the bridge over these agents, which a worker runs."""
    actions = [spec for agent in agents for spec in actions_of(agent)]
    ready = settings.home / "run" / "worker-0.ready"
    ready.parent.mkdir(parents=True, exist_ok=True)
    async with (
        Ports(settings) as ports,
        Worker(actions, ports=ports) as worker,
        mcp_listener.listening(actions, worker=worker, ports=ports) as address,
    ):
        ready.write_text(address)
        async with _served([find("serve_mcp")], settings, token) as bridge:
            yield f"{bridge}/mcp"


@asynccontextmanager
async def _served(specs: Sequence[Spec], settings: Settings, token: str) -> AsyncIterator[str]:
    app = LetIn(specs, settings=settings)
    app.token = token
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        async with app.running():
            server = server_of(app, host=host, port=port, drain_s=1)
            server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://{host}:{port}"
            finally:
                server.should_exit = True
                await serving
