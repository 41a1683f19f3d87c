"""GET /api/v1/mcp-servers/{name}: one server outside."""

from functions.mcp_servers._named import Named, not_found
from shared.function import http
from shared.ports.mcp_servers import McpServer, McpServers


class GetMcpServer(Named):
    """By its name."""


@http("GET", "/api/v1/mcp-servers/{name}", scope="mcp_servers:read")
async def get_mcp_server(request: GetMcpServer, *, servers: McpServers) -> McpServer:
    """One server outside. A tool that is `changed` shows both descriptions, and cannot be called until approved."""
    server = await servers.get(request.name)
    if server is None:
        raise not_found(request.name)
    return server
