"""PUT /api/v1/users/me: the caller's name and preferences."""

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.users import FullName, Preferences, User, Users


class UpdateMe(Payload):
    """What is left out stays as it is."""

    full_name: FullName | None = None
    preferences: Preferences | None = None


@http("PUT", "/api/v1/users/me", scope="users:me")
async def update_me(request: UpdateMe, *, caller: Caller, users: Users) -> User:
    user = await users.update_profile(caller.user_id, full_name=request.full_name, preferences=request.preferences)
    if user is None:
        raise NotFound(f"no user {str(caller.user_id)!r}")
    return user
