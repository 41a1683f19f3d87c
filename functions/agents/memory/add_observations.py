"""memory/add_observations: more that is known about entities."""

from pydantic import BaseModel, ConfigDict, Field

from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Memory, Name, Observation


class Addition(Payload):
    entity_name: Name = Field(alias="entityName")
    contents: list[Observation] = Field(max_length=1000, description="a fact each")


class AddObservations(Payload):
    observations: list[Addition] = Field(max_length=1000)


class Added(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    entity_name: str = Field(alias="entityName")
    added_observations: list[str] = Field(alias="addedObservations")


class Results(BaseModel):
    results: list[Added]


@tool(effect="write", timeout_s=30)
async def add_observations(request: AddObservations, *, run: Run, memory: Memory) -> Results:
    """Add observations to entities that exist; the answer holds those that are new.

    Where one of the entities does not exist, nothing is added to any.
    """
    additions = [(addition.entity_name, addition.contents) for addition in request.observations]
    new = await memory.add_observations(run.user_id, run.execution_id, additions)
    pairs = zip(additions, new, strict=True)
    return Results(results=[Added(entity_name=name, added_observations=texts) for (name, _), texts in pairs])
