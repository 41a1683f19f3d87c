"""GET /api/v1/agents/{agent_id}: one agent with the JSON Schemas of its tools."""

from pydantic import BaseModel

from functions.registry._agents import Agent, ToolSchema, agent_of, known_actions, tool_schema
from shared.function import http
from shared.payload import Payload
from shared.ports.agents import Agents


class GetAgent(Payload):
    agent_id: str


class AgentWithTools(BaseModel):
    agent: Agent
    tools: list[ToolSchema]


@http("GET", "/api/v1/agents/{agent_id}", scope="agents:read")
async def get_agent(request: GetAgent, *, agents: Agents) -> AgentWithTools:
    """One agent with the JSON Schemas of its tools."""
    actions = known_actions(request.agent_id)
    fares = await agents.fare([request.agent_id])
    return AgentWithTools(
        agent=agent_of(request.agent_id, actions, fares[request.agent_id]),
        tools=[tool_schema(spec) for spec in actions],
    )
