"""What an agent is: its declaration."""

import importlib
import inspect
from typing import Any

from pydantic import BaseModel

from shared.catalog import actions_of, agent_names
from shared.errors import NotFound
from shared.function import Effect, Spec
from shared.manifests.schemas import input_schema, output_schema
from shared.ports.agents import AgentFare, AgentHealth, Status


class ToolSchema(BaseModel):
    """One action. `input_schema` and `output_schema` are JSON Schemas."""

    name: str
    title: str
    description: str
    effect: Effect
    destructive: bool
    idempotent: bool
    timeout_ms: int
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]


class Agent(BaseModel):
    """`tools` by name; their schemas come with the single agent."""

    id: str
    name: str
    description: str
    status: Status
    capabilities: list[str]
    tools: list[str]
    health: AgentHealth


def tool_schema(spec: Spec) -> ToolSchema:
    tool = spec.tool
    return ToolSchema(
        name=tool.name,
        title=tool.title,
        description=spec.summary,
        effect=tool.effect,
        destructive=tool.destructive,
        idempotent=tool.idempotent,
        timeout_ms=int(spec.timeout_s * 1000),
        input_schema=input_schema(spec),
        output_schema=output_schema(spec),
    )


def known_actions(agent: str) -> tuple[Spec, ...]:
    """Raises NotFound, also for the packages beside the agents that have actions."""
    if agent not in agent_names():
        raise NotFound(f"no agent {agent!r}")
    return actions_of(agent)


def agent_of(name: str, actions: tuple[Spec, ...], fare: AgentFare) -> Agent:
    """`capabilities` are the kinds of effect that its tools have."""
    package = importlib.import_module(actions[0].module.rpartition(".")[0])
    return Agent(
        id=name,
        name=name.replace("-", " ").title(),
        description=inspect.getdoc(package) or "",
        status=fare.status,
        capabilities=sorted({spec.tool.effect for spec in actions}),
        tools=[spec.tool.name for spec in actions],
        health=fare.health,
    )
