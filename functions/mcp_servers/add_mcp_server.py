"""POST /api/v1/mcp-servers: a server outside, which is asked at once for what it offers."""

from typing import Annotated

from pydantic import Field

from functions.mcp_servers._headers import Headers
from functions.mcp_servers._looked_at import look_at
from shared.catalog import OUTSIDE, agent_names
from shared.errors import Conflict, Invalid, ToolError
from shared.function import Caller, http
from shared.mcp.client import OutsideClient
from shared.payload import Payload
from shared.ports.mcp_servers import Contact, McpServer, McpServers, NewMcpServer, ServerName


class AddMcpServer(Payload):
    """`name` becomes the prefix of its tools, so no agent may have it. `headers` are never shown again."""

    name: ServerName
    url: Annotated[str, Field(min_length=8, max_length=2000)]
    headers: Headers = {}


@http("POST", "/api/v1/mcp-servers", scope="mcp_servers:write", status=201, timeout_s=60)
async def add_mcp_server(
    request: AddMcpServer, *, caller: Caller, servers: McpServers, client: OutsideClient
) -> McpServer:
    """Nothing that it offers can be called until it is approved. It may be away now: it is asked again and again."""
    if request.name in (*agent_names(), OUTSIDE):
        await servers.refused("add_mcp_server", request.name, actor=caller.user_id)
        raise Conflict(f"an agent is named {request.name!r}")
    try:
        await client.check(request.url)
    except ToolError as exc:
        await servers.refused("add_mcp_server", request.name, actor=caller.user_id)
        raise Invalid(exc.message, field="url") from None
    new = NewMcpServer(name=request.name, url=request.url, headers=request.headers)
    added = await servers.add(new, actor=caller.user_id)
    await look_at(Contact(name=new.name, url=new.url, headers=new.headers), servers=servers, client=client)
    return await servers.get(request.name) or added
