"""PUT /api/v1/mcp-servers/{name}/credentials: what the caller proves themselves with at a server outside."""

from pydantic import BaseModel, Field

from functions.mcp_servers._headers import Headers
from functions.mcp_servers._named import AnyName, not_found
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.mcp_servers import McpServers


class SetMcpCredentials(Payload):
    """`headers` go with the caller's own calls, in place of the server's where they share a name."""

    name: AnyName
    headers: Headers = Field(min_length=1)


class Kept(BaseModel):
    """Names alone: values are never shown again."""

    name: str
    headers: list[str]


@http("PUT", "/api/v1/mcp-servers/{name}/credentials", scope="agents:execute")
async def set_mcp_credentials(request: SetMcpCredentials, *, caller: Caller, servers: McpServers) -> Kept:
    """They are kept encrypted, and seen by that server alone."""
    if not await servers.set_credentials(request.name, caller.user_id, request.headers):
        raise not_found(request.name)
    return Kept(name=request.name, headers=sorted(request.headers))
