"""memory/delete_observations: facts about entities removed."""

from pydantic import Field

from functions.agents.memory._answers import Deleted
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Memory, Name, Observation


class Deletion(Payload):
    entity_name: Name = Field(alias="entityName")
    observations: list[Observation] = Field(max_length=1000, description="word for word")


class DeleteObservations(Payload):
    deletions: list[Deletion] = Field(max_length=1000)


@tool(effect="write", timeout_s=30, destructive=True, idempotent=True)
async def delete_observations(request: DeleteObservations, *, run: Run, memory: Memory) -> Deleted:
    """Delete observations of entities; what does not exist is passed over."""
    deletions = [(deletion.entity_name, deletion.observations) for deletion in request.deletions]
    await memory.delete_observations(run.user_id, run.execution_id, deletions)
    return Deleted(message="Observations deleted successfully")
