"""POST /api/v1/dead-letters/{letter_id}/replay: another chance for what was refused."""

from uuid import UUID

from functions.dead_letters._replay import Replayed, replay
from shared.errors import Conflict, NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.dead_letters import DeadLetters
from shared.ports.tasks import Tasks
from shared.ports.users import Users


class ReplayDeadLetter(Payload):
    letter_id: UUID


@http("POST", "/api/v1/dead-letters/{letter_id}/replay", scope="dead_letters:write", status=202)
async def replay_dead_letter(
    request: ReplayDeadLetter, *, caller: Caller, dead_letters: DeadLetters, tasks: Tasks, users: Users
) -> Replayed:
    """An event goes to the consumer that failed with it, a task is queued once more; the letter is gone then."""
    letter_id, actor = request.letter_id, caller.user_id
    try:
        replayed = None
        if letter := await dead_letters.get(letter_id):
            replayed = await replay(letter, actor=actor, dead_letters=dead_letters, tasks=tasks, users=users)
        if replayed is None:
            raise NotFound(f"no dead letter {str(letter_id)!r}")
    except (Conflict, NotFound):
        await dead_letters.refused("dead_letters.replay_dead_letter", letter_id, actor=actor)
        raise
    return replayed
