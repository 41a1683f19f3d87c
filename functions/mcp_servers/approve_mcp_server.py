"""POST /api/v1/mcp-servers/{name}/approve: an operator has looked at what tools say of themselves, and lets them in."""

from typing import Annotated

from pydantic import Field, StringConstraints

from functions.mcp_servers._named import AnyName, not_found
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.mcp_servers import McpServer, McpServers

_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ApproveMcpServer(Payload):
    """`tools`: by name, the digest of the definition that was looked at."""

    name: AnyName
    tools: dict[Annotated[str, Field(max_length=100)], _Digest] = Field(min_length=1, max_length=200)


@http("POST", "/api/v1/mcp-servers/{name}/approve", scope="mcp_servers:write")
async def approve_mcp_server(request: ApproveMcpServer, *, caller: Caller, servers: McpServers) -> McpServer:
    """All or none of them. They are pinned: one that is described otherwise later cannot be called until approved."""
    server = await servers.approve(request.name, request.tools, actor=caller.user_id)
    if server is None:
        raise not_found(request.name)
    return server
