"""/mcp: one MCP server over all agents and over the servers outside that an operator has let in."""

from shared.catalog import OUTSIDE, actions_of, agent_names, shown_by
from shared.function import Scale, mcp
from shared.mcp.bridge.endpoint import Bridge
from shared.mcp.bridge.orchestrator import Orchestrator
from shared.mcp.bridge.registry import Registry
from shared.mcp.bridge.state import BridgeState
from shared.ports.agent_servers import AgentServers
from shared.ports.capabilities import Capabilities
from shared.ports.mcp_servers import McpServers


@mcp("/mcp", scale=Scale(min=1, max=5, target=100))
async def serve_mcp(
    *, servers: McpServers, places: AgentServers, capabilities: Capabilities, state: BridgeState
) -> Bridge:
    """What each agent does and shows follows from its declarations, so nobody is woken for a list."""
    agents = agent_names()
    return Bridge(
        registry=Registry(agents, lambda agent: (actions_of(agent), shown_by(agent)), servers),
        orchestrator=Orchestrator(agents, outside=OUTSIDE),
        places=places,
        capabilities=capabilities,
        state=state,
    )
