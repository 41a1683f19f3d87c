"""Asking one server for what it offers."""

import logging

from shared.errors import ToolError, Unavailable
from shared.mcp.client import OutsideClient
from shared.ports.mcp_servers import Contact, McpServers

logger = logging.getLogger("sutazai.mcp.servers")


async def look_at(contact: Contact, *, servers: McpServers, client: OutsideClient) -> None:
    """What goes wrong there is recorded with it and harms no other."""
    try:
        listing = await client.listing(contact)
    except (ToolError, Unavailable) as exc:
        await servers.failed(contact.name, exc.message)
        return
    except Exception:
        logger.exception("the MCP server %r could not be looked at", contact.name)
        await servers.failed(contact.name, "what it answers cannot be understood")
        return
    if changed := await servers.seen(contact.name, listing):
        logger.warning("the MCP server %r now describes %s otherwise", contact.name, ", ".join(changed))
