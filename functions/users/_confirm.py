"""Asks for the password once more before an act that a stolen token must not be enough for."""

from uuid import UUID

from shared.errors import Unauthorized
from shared.ports.passwords import Passwords
from shared.ports.users import Users


async def confirmed(user_id: UUID, password: str, action: str, *, users: Users, passwords: Passwords) -> str:
    """The hash that the password was compared with. Raises Unauthorized, leaving an audit line."""
    found = await users.credentials_of(user_id)
    if found is None or not await passwords.verify(password, found.password_hash):
        await users.refused(action, user_id=user_id)
        raise Unauthorized("the password is wrong", reason="password")
    return found.password_hash
