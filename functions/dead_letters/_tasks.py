"""Queues the task of a dead letter once more, for its owner."""

import hashlib
from uuid import UUID

from events.base import Envelope
from events.tasks import TaskFailed
from shared.catalog import action
from shared.errors import Conflict
from shared.identity import scopes_of
from shared.ports.dead_letters import DeadLetter
from shared.ports.tasks import Task, Tasks, once_more
from shared.ports.users import Users


async def queue_again(letter: DeadLetter, *, tasks: Tasks, users: Users) -> UUID:
    """The new task's id, the same however often it is asked. Raises Conflict, and RateLimited where queues are full."""
    envelope = Envelope.model_validate(letter.event)
    task_id = TaskFailed.model_validate(envelope.data).task_id
    old = await tasks.get(envelope.user_id, task_id) if envelope.user_id else None
    if old is None or envelope.user_id is None:
        raise Conflict(f"the task {str(task_id)!r} is not kept any more")
    await _check_owner(envelope.user_id, old, users)
    # No caller's key has a blank.
    key, digest = f"dead-letter {letter.id}", hashlib.sha256(letter.id.bytes).digest()
    new = once_more(old, envelope.user_id, key=key, digest=digest)
    [again] = await tasks.accept([new])
    return again


async def _check_owner(owner: UUID, task: Task, users: Users) -> None:
    """Raises Conflict where they could not ask for the task themselves by now."""
    user = await users.get(owner)
    if user is None or not user.is_active:
        raise Conflict("the task's owner is disabled")
    try:
        scope = action(task.agent_id, task.task).tool.scope
    except LookupError as exc:
        raise Conflict(str(exc)) from None
    if scope not in scopes_of(frozenset(user.roles)):
        raise Conflict(f"the task's owner has the scope {scope!r} no more", scope=scope)
