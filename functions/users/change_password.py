"""POST /api/v1/users/change-password: a new password, and an end to the caller's other sessions."""

from pydantic import Field

from functions.users._confirm import confirmed
from shared.errors import Conflict, Invalid
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.passwords import Passwords
from shared.ports.sessions import Ended
from shared.ports.throttle import Throttle
from shared.ports.users import Users


class ChangePassword(Payload):
    current_password: str = Field(max_length=512, repr=False)
    new_password: str = Field(max_length=512, repr=False)
    confirm_password: str = Field(max_length=512, repr=False)


@http("POST", "/api/v1/users/change-password", scope="users:me", keyed=False)
async def change_password(
    request: ChangePassword, *, caller: Caller, users: Users, passwords: Passwords, throttle: Throttle
) -> Ended:
    if request.new_password != request.confirm_password:
        raise Invalid("confirm_password is not the new password", field="confirm_password")
    current, action = request.current_password, "users.change_password"
    old = await confirmed(caller, current, action, users=users, passwords=passwords, throttle=throttle)
    if request.new_password == request.current_password:
        raise Invalid("the new password is the old one", field="new_password")
    user = await users.get(caller.user_id)
    personal = (user.email, user.username) if user else ()
    new = await passwords.hash(request.new_password, personal=personal)
    ended = await users.change_password(caller.user_id, old=old, new=new, keep_session=caller.session_id)
    if ended is None:
        raise Conflict("the password was changed meanwhile")
    return Ended(ended=ended)
