"""Asks for the password once more before an act that a stolen token must not be enough for."""

from shared.errors import Unauthorized
from shared.function import Caller
from shared.ports.passwords import Passwords
from shared.ports.throttle import Throttle
from shared.ports.users import Users


async def confirmed(
    caller: Caller, password: str, action: str, *, users: Users, passwords: Passwords, throttle: Throttle
) -> str:
    """The hash that the password was compared with. Raises Unauthorized, leaving an audit line, and RateLimited."""
    # The session is the place: only who has its token can make its owner wait.
    async with throttle.attempt(f"user:{caller.user_id}", place=str(caller.session_id)):
        found = await users.credentials_of(caller.user_id)
        if found is None or not await passwords.verify(password, found.password_hash):
            await users.refused(action, user_id=caller.user_id)
            raise Unauthorized("the password is wrong", reason="password")
    return found.password_hash
