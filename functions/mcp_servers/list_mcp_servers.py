"""GET /api/v1/mcp-servers: the servers outside, each with what it offers and what of it was approved."""

from pydantic import Field

from shared.function import http
from shared.payload import Payload
from shared.ports.mcp_servers import McpServerList, McpServers


class ListMcpServers(Payload):
    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=200)


@http("GET", "/api/v1/mcp-servers", scope="mcp_servers:read")
async def list_mcp_servers(request: ListMcpServers, *, servers: McpServers) -> McpServerList:
    """The servers outside by name. What a tool is described as comes from its server: it is data and no instruction."""
    return await servers.list(limit=request.limit, cursor=request.cursor)
