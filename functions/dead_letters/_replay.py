"""What a replay is for each reason that a letter may have."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from functions.dead_letters._tasks import queue_again
from shared.catalog import modules
from shared.errors import Conflict
from shared.function import deployed_name
from shared.ports.dead_letters import DeadLetter, DeadLetters
from shared.ports.tasks import Tasks
from shared.ports.users import Users


class Replayed(BaseModel):
    """`task_id` is the new task's."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    replayed: Literal["event", "task", "callback"]
    task_id: UUID | None = None


async def replay(
    letter: DeadLetter, *, actor: UUID, dead_letters: DeadLetters, tasks: Tasks, users: Users
) -> Replayed | None:
    """None for a letter that has gone meanwhile. Raises Conflict, and RateLimited where queues are full."""
    if letter.reason == "task":
        task_id = await queue_again(letter, tasks=tasks, users=users)
        done = Replayed(id=letter.id, replayed="task", task_id=task_id)
        return done if await dead_letters.replayed_task(letter.id, actor=actor) else None
    if letter.reason == "callback":
        done = Replayed(id=letter.id, replayed="callback")
        return done if await dead_letters.replay_callback(letter.id, actor=actor) else None
    if letter.reason == "unreadable":
        raise Conflict("nobody could read this, so it cannot be sent again")
    _check_deployed(letter.consumer)
    done = Replayed(id=letter.id, replayed="event")
    return done if await dead_letters.replay_event(letter.id, actor=actor) else None


def _check_deployed(name: str) -> None:
    """Raises Conflict where no function is deployed under the name: what is addressed to it would never be read."""
    if name not in map(deployed_name, modules()):
        raise Conflict(f"no function {name!r} consumes events any more")
