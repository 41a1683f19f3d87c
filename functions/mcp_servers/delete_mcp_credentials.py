"""DELETE /api/v1/mcp-servers/{name}/credentials: the caller's calls go with the server's own headers again."""

from pydantic import BaseModel

from functions.mcp_servers._named import Named
from shared.errors import NotFound
from shared.function import Caller, http
from shared.ports.mcp_servers import McpServers


class DeleteMcpCredentials(Named):
    """By the server's name."""


class Deleted(BaseModel):
    deleted: int


@http("DELETE", "/api/v1/mcp-servers/{name}/credentials", scope="agents:execute")
async def delete_mcp_credentials(request: DeleteMcpCredentials, *, caller: Caller, servers: McpServers) -> Deleted:
    if not await servers.delete_credentials(request.name, caller.user_id):
        raise NotFound(f"no credentials of yours for an MCP server {request.name!r}")
    return Deleted(deleted=1)
