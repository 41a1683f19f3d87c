"""GET /api/v1/agents: all agents, with how they fare."""

from pydantic import BaseModel

from functions.registry._agents import Agent, agent_of, known_actions
from shared.catalog import agent_names
from shared.function import http
from shared.ports.agents import Agents


class AgentList(BaseModel):
    """`online` counts all that are not failing: an agent at zero wakes when it is asked."""

    agents: list[Agent]
    total: int
    online: int
    offline: int


@http("GET", "/api/v1/agents", scope="agents:read")
async def list_agents(*, agents: Agents) -> AgentList:
    """All agents, with how they fare."""
    fares = await agents.fare(agent_names())
    found = [agent_of(name, known_actions(name), fares[name]) for name in agent_names()]
    offline = sum(agent.status == "failing" for agent in found)
    return AgentList(agents=found, total=len(found), online=len(found) - offline, offline=offline)
