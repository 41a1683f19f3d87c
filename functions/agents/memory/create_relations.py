"""memory/create_relations: new edges of the graph."""

from pydantic import BaseModel, Field

from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.memory import Memory, Relation


class CreateRelations(Payload):
    relations: list[Relation] = Field(max_length=1000)


class Created(BaseModel):
    relations: list[Relation]


@tool(effect="write", timeout_s=30)
async def create_relations(request: CreateRelations, *, run: Run, memory: Memory) -> Created:
    """Create relations between entities, in active voice: Ada works_at Acme.

    A relation that exists already is not doubled; the answer holds only those that are new.
    """
    return Created(relations=await memory.create_relations(run.user_id, run.execution_id, request.relations))
