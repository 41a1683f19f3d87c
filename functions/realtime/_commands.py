"""Commands: the same acts as over HTTP, under the same scopes and limits."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar
from uuid import UUID

from pydantic import BaseModel

from functions.realtime._frames import Command
from shared import strict_json
from shared.catalog import agent_names
from shared.errors import Invalid, NotFound
from shared.execution import Execute, execute
from shared.function import Caller
from shared.identity import authorize
from shared.payload import Payload, from_body
from shared.ports.agents import AgentFare, Agents
from shared.ports.limits import Limits
from shared.ports.tasks import Tasks

# A command may wait for its task, as a request may.
LONGEST_S = 75.0


class _Agent(Payload):
    agent_id: str | None = None


class _Task(Payload):
    task_id: UUID


class AgentFares(BaseModel):
    agents: list[AgentFare]


_Act = Callable[["Commands", Command, Caller], Awaitable[BaseModel]]
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Commands:
    agents: Agents
    tasks: Tasks
    limits: Limits

    async def run(self, command: Command, caller: Caller) -> bytes:
        """The JSON of its answer. Raises what the act raises, and Forbidden without its scope."""
        scope, act = self._acts[command.command]
        authorize(caller, scope)
        if command.idempotency_key is not None and command.command != "agent.execute":
            raise Invalid(f"{command.command} takes no idempotency_key: repeating it does no harm")
        found = await act(self, command, caller)
        return found.model_dump_json(by_alias=True).encode()

    async def _status(self, command: Command, caller: Caller) -> BaseModel:
        asked = _read(_Agent, command).agent_id
        if asked is None:
            return AgentFares(agents=list((await self.agents.fare(agent_names())).values()))
        if asked not in agent_names():
            raise NotFound(f"no agent {asked!r}")
        return (await self.agents.fare([asked]))[asked]

    async def _execute(self, command: Command, caller: Caller) -> BaseModel:
        request = _read(Execute, command)
        key, tasks, limits = command.idempotency_key, self.tasks, self.limits
        return await execute(request, caller=caller, key=key, wait_s=None, tasks=tasks, limits=limits)

    async def _cancel(self, command: Command, caller: Caller) -> BaseModel:
        return await self.tasks.cancel(caller.user_id, _read(_Task, command).task_id)

    async def _get(self, command: Command, caller: Caller) -> BaseModel:
        asked = _read(_Task, command).task_id
        task = await self.tasks.get(caller.user_id, asked)
        if task is None:
            raise NotFound(f"no task {asked!s}")
        return task

    _acts: ClassVar[dict[str, tuple[str, _Act]]] = {
        "agent.status": ("agents:read", _status),
        "agent.execute": ("agents:execute", _execute),
        "task.cancel": ("tasks:write", _cancel),
        "task.get": ("tasks:read", _get),
    }


def _read(model: type[M], command: Command) -> M:
    found = from_body(model, strict_json.dump(command.parameters), {})
    assert isinstance(found, model)
    return found
