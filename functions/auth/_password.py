"""The password behind a login."""

from shared.errors import Unauthorized
from shared.ports.passwords import Passwords
from shared.ports.users import Credentials, Users


async def proven(name: str, password: str, users: Users, passwords: Passwords) -> Credentials:
    """Raises Unauthorized, after the same time and with the same answer for a name that nobody has."""
    found = await users.credentials(name)
    if found is None:
        await passwords.verify_unknown(password)
    if found is None or not await passwords.verify(password, found.password_hash):
        await users.refused("auth.login", user_id=found.user_id if found else None, login=name)
        raise Unauthorized("the name or the password is wrong", reason="credentials")
    return found


async def modernise(found: Credentials, password: str, users: Users, passwords: Passwords) -> None:
    """Hashes it anew where today's parameters are others."""
    if passwords.needs_rehash(found.password_hash):
        await users.rehash(found.user_id, old=found.password_hash, new=await passwords.rehash(password))
