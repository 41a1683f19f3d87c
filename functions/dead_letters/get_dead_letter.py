"""GET /api/v1/dead-letters/{letter_id}: one dead letter."""

from uuid import UUID

from shared.errors import NotFound
from shared.function import http
from shared.payload import Payload
from shared.ports.dead_letters import DeadLetter, DeadLetters


class GetDeadLetter(Payload):
    letter_id: UUID


@http("GET", "/api/v1/dead-letters/{letter_id}", scope="dead_letters:read")
async def get_dead_letter(request: GetDeadLetter, *, dead_letters: DeadLetters) -> DeadLetter:
    """What was refused, by whom, why, and after how many attempts."""
    letter = await dead_letters.get(request.letter_id)
    if letter is None:
        raise NotFound(f"no dead letter {str(request.letter_id)!r}")
    return letter
