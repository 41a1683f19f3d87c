"""On user.disabled: whoever may no longer ask is no longer worked for."""

from events.users import UserDisabled
from shared.function import on_event
from shared.ports.tasks import Tasks


@on_event(UserDisabled)
async def cancel_tasks_of_disabled_user(event: UserDisabled, *, tasks: Tasks) -> None:
    """Ends everything of a disabled user; the second delivery finds nothing left to end."""
    await tasks.cancel_all(event.user_id)
