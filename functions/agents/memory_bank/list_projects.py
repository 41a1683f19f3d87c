"""memory-bank/list_projects: what there are notes on."""

from functions.agents.memory_bank._answers import Content, listed
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory_bank import MemoryBank


class ListProjects(Payload):
    pass


@tool(effect="read", timeout_s=10)
async def list_projects(request: ListProjects, *, run: Run, memory_bank: MemoryBank) -> Content:
    """Return the names of all your projects."""
    return listed(await memory_bank.projects(run.user_id))
