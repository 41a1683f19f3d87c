"""Whose schedules a caller may see and change."""

from uuid import UUID

from shared.errors import NotFound
from shared.function import Caller


def owner_of(caller: Caller) -> UUID | None:
    """None: those of all users."""
    return None if "schedules:all" in caller.scopes else caller.user_id


def not_found(schedule_id: UUID) -> NotFound:
    return NotFound(f"no schedule {str(schedule_id)!r}")
