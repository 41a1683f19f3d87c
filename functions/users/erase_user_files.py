"""On user.erased: the files follow the rows."""

import asyncio

from events.users import UserErased
from shared.function import on_event
from shared.ports.files import Files


@on_event(UserErased, timeout_s=60)
async def erase_user_files(event: UserErased, *, files: Files) -> None:
    """Deletes all files of an erased user; the second delivery finds none."""
    await asyncio.to_thread(files.erase, event.user_id)
