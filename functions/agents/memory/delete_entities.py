"""memory/delete_entities: nodes of the graph, and the edges at them, removed."""

from pydantic import Field

from functions.agents.memory._answers import Deleted
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Memory, Name


class DeleteEntities(Payload):
    entity_names: list[Name] = Field(alias="entityNames", max_length=1000)


@tool(effect="write", timeout_s=30, destructive=True, idempotent=True)
async def delete_entities(request: DeleteEntities, *, run: Run, memory: Memory) -> Deleted:
    """Delete entities with their observations and all their relations; what does not exist is passed over."""
    await memory.delete_entities(run.user_id, run.execution_id, request.entity_names)
    return Deleted(message="Entities deleted successfully")
