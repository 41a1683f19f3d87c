"""PATCH /api/v1/users/{user_id}: a user's roles, and whether they may log in."""

from uuid import UUID

from pydantic import Field

from shared.errors import Invalid, NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.users import Role, User, Users


class UpdateUser(Payload):
    """What is left out stays as it is."""

    user_id: UUID
    roles: list[Role] | None = Field(default=None, min_length=1, max_length=8)
    is_active: bool | None = None


@http("PATCH", "/api/v1/users/{user_id}", scope="users:admin")
async def update_user(request: UpdateUser, *, caller: Caller, users: Users) -> User:
    """Both hold within a second; who is disabled loses their sessions."""
    if request.roles is None and request.is_active is None:
        raise Invalid("roles or is_active is needed")
    roles = tuple(request.roles) if request.roles is not None else None
    user = await users.set_access(request.user_id, actor=caller.user_id, roles=roles, is_active=request.is_active)
    if user is None:
        raise NotFound(f"no user {str(request.user_id)!r}")
    return user
