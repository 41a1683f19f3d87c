"""GET /api/v1/agents/{agent_id}/status: how one agent fares, from its executions and workers."""

from functions.registry._agents import known_actions
from shared.function import http
from shared.payload import Payload
from shared.ports.agents import AgentFare, Agents


class GetAgentStatus(Payload):
    agent_id: str


@http("GET", "/api/v1/agents/{agent_id}/status", scope="agents:read")
async def get_agent_status(request: GetAgentStatus, *, agents: Agents) -> AgentFare:
    """How one agent fares, from its executions and workers."""
    known_actions(request.agent_id)
    return (await agents.fare([request.agent_id]))[request.agent_id]
