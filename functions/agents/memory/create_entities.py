"""memory/create_entities: new nodes of the graph."""

from pydantic import BaseModel, Field

from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Entity, Memory


class CreateEntities(Payload):
    entities: list[Entity] = Field(max_length=1000)


class Created(BaseModel):
    entities: list[Entity]


@tool(effect="write", timeout_s=30)
async def create_entities(request: CreateEntities, *, run: Run, memory: Memory) -> Created:
    """Create entities in the knowledge graph, with what is known about them.

    An entity whose name exists already is left as it is; the answer holds only those that are new.
    """
    return Created(entities=await memory.create_entities(run.user_id, run.execution_id, request.entities))
