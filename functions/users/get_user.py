"""GET /api/v1/users/{user_id}: one user, for administrators."""

from uuid import UUID

from shared.errors import NotFound
from shared.function import http
from shared.payload import Payload
from shared.ports.users import User, Users


class GetUser(Payload):
    user_id: UUID


@http("GET", "/api/v1/users/{user_id}", scope="users:admin")
async def get_user(request: GetUser, *, users: Users) -> User:
    user = await users.get(request.user_id)
    if user is None:
        raise NotFound(f"no user {str(request.user_id)!r}")
    return user
