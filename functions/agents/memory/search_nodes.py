"""memory/search_nodes: the entities that hold a text."""

from pydantic import Field

from functions.agents.memory._answers import small_enough
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Graph, Memory


class SearchNodes(Payload):
    query: str = Field(max_length=1000, description="one text that is looked for as it stands, case aside")


@tool(effect="read", timeout_s=30)
async def search_nodes(request: SearchNodes, *, run: Run, memory: Memory) -> Graph:
    """Find entities whose name, type or observations hold a text, and all relations from or to them."""
    return small_enough(await memory.search(run.user_id, request.query))
