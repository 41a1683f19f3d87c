"""GET /api/v1/users/me: the caller's own profile."""

from shared.errors import NotFound
from shared.function import Caller, http
from shared.ports.users import User, Users


@http("GET", "/api/v1/users/me", scope="profile:read")
async def get_me(*, caller: Caller, users: Users) -> User:
    user = await users.get(caller.user_id)
    if user is None:
        raise NotFound(f"no user {str(caller.user_id)!r}")
    return user
