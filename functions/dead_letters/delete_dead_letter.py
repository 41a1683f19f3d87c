"""DELETE /api/v1/dead-letters/{letter_id}: gives a dead letter up."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.dead_letters import DeadLetters


class DeleteDeadLetter(Payload):
    letter_id: UUID


class Deleted(BaseModel):
    model_config = ConfigDict(frozen=True)
    id: UUID
    deleted: Literal[True] = True


@http("DELETE", "/api/v1/dead-letters/{letter_id}", scope="dead_letters:write")
async def delete_dead_letter(request: DeleteDeadLetter, *, caller: Caller, dead_letters: DeadLetters) -> Deleted:
    """What it held is lost."""
    if not await dead_letters.delete(request.letter_id, actor=caller.user_id):
        await dead_letters.refused("dead_letters.delete_dead_letter", request.letter_id, actor=caller.user_id)
        raise NotFound(f"no dead letter {str(request.letter_id)!r}")
    return Deleted(id=request.letter_id)
