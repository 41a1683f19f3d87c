"""memory/delete_relations: edges of the graph removed."""

from pydantic import Field

from functions.agents.memory._answers import Deleted
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Memory, Relation


class DeleteRelations(Payload):
    relations: list[Relation] = Field(max_length=1000)


@tool(effect="write", timeout_s=30, destructive=True, idempotent=True)
async def delete_relations(request: DeleteRelations, *, run: Run, memory: Memory) -> Deleted:
    """Delete relations; what does not exist is passed over."""
    await memory.delete_relations(run.user_id, run.execution_id, request.relations)
    return Deleted(message="Relations deleted successfully")
