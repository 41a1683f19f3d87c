"""DELETE /api/v1/users/me: erases the caller and what is theirs."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from functions.users._confirm import confirmed
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.passwords import Passwords
from shared.ports.throttle import Throttle
from shared.ports.users import Users


class DeleteMe(Payload):
    password: str = Field(max_length=512, repr=False)


class Erased(BaseModel):
    model_config = ConfigDict(frozen=True)
    erased: Literal[True] = True


@http("DELETE", "/api/v1/users/me", scope="users:me", keyed=False, timeout_s=120.0)
async def delete_me(
    request: DeleteMe, *, caller: Caller, users: Users, passwords: Passwords, throttle: Throttle
) -> Erased:
    """The rows go now; UserErased makes the rest follow. Audit lines stay, under a number nobody has."""
    await confirmed(caller, request.password, "users.delete_me", users=users, passwords=passwords, throttle=throttle)
    await users.erase(caller.user_id)
    return Erased()
