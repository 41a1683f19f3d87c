"""The password behind a login, whatever it is for."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from shared.errors import Unauthorized
from shared.function import Call
from shared.ports.passwords import Passwords
from shared.ports.throttle import Throttle
from shared.ports.users import Credentials, Users

T = TypeVar("T")


async def logged_in(
    name: str,
    password: str,
    then: Callable[[UUID], Awaitable[T]],
    *,
    users: Users,
    passwords: Passwords,
    throttle: Throttle,
    call: Call,
) -> T:
    """What `then` makes of the user, whom it may still refuse. Guesses are throttled before anything is hashed.

    Raises RateLimited, and Unauthorized after the same time and with the same answer for a name that nobody has.
    """
    async with throttle.attempt(name, place=call.address) as attempt:
        found = await _proven(name, password, users, passwords)
        done = await then(found.user_id)
        attempt.belongs_to(found.user_id)
    if passwords.needs_rehash(found.password_hash):
        await users.rehash(found.user_id, old=found.password_hash, new=await passwords.rehash(password))
    return done


async def _proven(name: str, password: str, users: Users, passwords: Passwords) -> Credentials:
    found = await users.credentials(name)
    if found is None:
        await passwords.verify_unknown(password)
    if found is None or not await passwords.verify(password, found.password_hash):
        await users.refused("auth.login", user_id=found.user_id if found else None, login=name)
        raise Unauthorized("the name or the password is wrong", reason="credentials")
    return found
