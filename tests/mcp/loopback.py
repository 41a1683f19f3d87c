"""Agents behind real sockets, for clients that are other programs."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from shared.asgi import Receive, Scope, Send
from shared.catalog import actions_of
from shared.config import Settings
from shared.serve import App, server_of


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
    app = LetIn(actions_of(agent), settings=settings)
    app.token = token
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        async with app.running():
            server = server_of(app, host=host, port=port, drain_s=1)
            server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://{host}:{port}/mcp/{agent}"
            finally:
                server.should_exit = True
                await serving
