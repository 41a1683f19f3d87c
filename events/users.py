"""What happens to users and their sessions."""

from typing import ClassVar
from uuid import UUID

from events.base import Event


class UserRegistered(Event):
    type: ClassVar[str] = "user.registered.v1"
    user_id: UUID


class UserDisabled(Event):
    type: ClassVar[str] = "user.disabled.v1"
    user_id: UUID


class UserErased(Event):
    """The user's rows are gone; whatever lies elsewhere has to follow."""

    type: ClassVar[str] = "user.erased.v1"
    user_id: UUID


class SessionRevoked(Event):
    type: ClassVar[str] = "session.revoked.v1"
    user_id: UUID
    session_id: UUID
