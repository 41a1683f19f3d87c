"""memory/read_graph: everything that is remembered."""

from functions.agents.memory._answers import small_enough
from shared.function import Run, tool
from shared.ports.memory import Graph, Memory


@tool(effect="read", timeout_s=30)
async def read_graph(*, run: Run, memory: Memory) -> Graph:
    """Read the whole knowledge graph: all entities and relations, in the order in which they were created."""
    return small_enough(await memory.graph(run.user_id))
