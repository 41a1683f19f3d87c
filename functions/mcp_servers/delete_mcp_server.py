"""DELETE /api/v1/mcp-servers/{name}: its tools leave the bridge; what they have done stays in the history."""

from pydantic import BaseModel

from functions.mcp_servers._named import Named, not_found
from shared.function import Caller, http
from shared.ports.mcp_servers import McpServers


class DeleteMcpServer(Named):
    """By its name."""


class Deleted(BaseModel):
    deleted: int


@http("DELETE", "/api/v1/mcp-servers/{name}", scope="mcp_servers:write")
async def delete_mcp_server(request: DeleteMcpServer, *, caller: Caller, servers: McpServers) -> Deleted:
    """With its approvals and everybody's credentials for it."""
    if not await servers.remove(request.name, actor=caller.user_id):
        raise not_found(request.name)
    return Deleted(deleted=1)
