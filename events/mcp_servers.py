"""What happens to MCP servers outside the platform, and to what they offer."""

from typing import ClassVar

from events.base import Event


class McpServerAdded(Event):
    type: ClassVar[str] = "mcp_server.added.v1"
    name: str


class McpServerApproved(Event):
    """`tools` may be called from now on, as they are described now."""

    type: ClassVar[str] = "mcp_server.approved.v1"
    name: str
    tools: list[str]


class McpServerChanged(Event):
    """`tools` were approved and are described otherwise now: nobody can call them until they are approved again."""

    type: ClassVar[str] = "mcp_server.changed.v1"
    name: str
    tools: list[str]


class McpServerRemoved(Event):
    type: ClassVar[str] = "mcp_server.removed.v1"
    name: str
