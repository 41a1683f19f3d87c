"""memory/open_nodes: entities by their names."""

from pydantic import Field

from functions.agents.memory._answers import small_enough
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Graph, Memory, Name


class OpenNodes(Payload):
    names: list[Name] = Field(max_length=1000)


@tool(effect="read", timeout_s=30)
async def open_nodes(request: OpenNodes, *, run: Run, memory: Memory) -> Graph:
    """Open entities by name, with all relations from or to them; names that do not exist are passed over."""
    return small_enough(await memory.open(run.user_id, request.names))
