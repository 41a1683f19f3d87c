"""Every 5 seconds: asks the servers outside whose turn it is for what they offer now."""

import asyncio

from functions.mcp_servers._looked_at import look_at
from shared.function import every
from shared.mcp.client import OutsideClient
from shared.ports.mcp_servers import McpServers

AT_ONCE = 8


@every(5, timeout_s=60)
async def refresh_mcp_servers(*, servers: McpServers, client: OutsideClient) -> None:
    """Each once a minute, and less often while it cannot be reached: up to half an hour apart."""
    async with asyncio.TaskGroup() as group:
        for contact in await servers.take_due(AT_ONCE):
            group.create_task(look_at(contact, servers=servers, client=client))
