"""Servers outside for tests: real ones of the official SDK and FastMCP, on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import uvicorn

from shared.config import Settings


def allowing(settings: Settings, *ports: int) -> Settings:
    """As an operator names single peers."""
    return replace(settings, egress_allow=frozenset({("127.0.0.1", port) for port in ports}))


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[int]:
    """Its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        config = uvicorn.Config(app, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield port
        finally:
            server.should_exit = True
            await serving


def weather() -> Any:
    """The official SDK's server, which speaks both eras, with answers on streams."""
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server: MCPServer[Any] = MCPServer("weather", instructions="Ask for a city.", log_level="ERROR")

    @server.tool()
    async def forecast(city: str, ctx: Context[Any]) -> dict[str, str]:
        """The weather of tomorrow."""
        await ctx.report_progress(1, 2, "looking up")
        if city == "Atlantis":
            raise ToolError("no such city")
        return {"city": city, "sky": "clear"}

    return server.streamable_http_app(streamable_http_path="/mcp", host="127.0.0.1")


def notes() -> Any:
    """FastMCP, as its documentation builds it."""
    from fastmcp import FastMCP

    server: Any = FastMCP("notes")

    def shout(text: str) -> str:
        """Say it louder."""
        return text.upper()

    server.tool(shout)
    return server.http_app(path="/mcp")
