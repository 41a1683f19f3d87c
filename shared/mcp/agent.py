"""`/mcp/{agent}`: one agent as an MCP server."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.catalog import shown_by
from shared.function import Spec
from shared.mcp.catalogue import AgentCatalogue
from shared.mcp.endpoint import McpEndpoint
from shared.wiring import Ports
from shared.worker import Worker

if TYPE_CHECKING:
    from shared.mcp.outside import OutsideServer


class AgentServer(McpEndpoint):
    def __init__(self, actions: Sequence[Spec]) -> None:
        agent = actions[0].agent
        self.mine = AgentCatalogue(actions, shown_by(agent))
        longest = max(spec.timeout_s for spec in actions)
        super().__init__(f"/mcp/{agent}", self.mine, timeout_s=longest + 10.0)

    async def serve(self, ports: Ports, worker: Worker) -> None:
        await self.mine.open(ports, worker)
        await self.open(ports)


def server_for(actions: Sequence[Spec]) -> "AgentServer | OutsideServer":
    """Of one agent, or of the action that calls servers outside."""
    if actions[0].package != "mcp_servers":
        return AgentServer(actions)
    from shared.mcp.outside import OutsideServer

    return OutsideServer(actions)
