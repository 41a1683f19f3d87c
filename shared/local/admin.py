"""The first administrator of a fresh installation."""

import secrets

from pydantic import TypeAdapter, ValidationError

from shared.errors import ConfigurationError, Conflict, Invalid
from shared.ports.passwords import Passwords
from shared.ports.users import Registration, Username, Users, normal_email

USERNAME = "admin"


async def ensure_admin(
    users: Users, passwords: Passwords, email: str, password: str | None, *, username: str = USERNAME
) -> tuple[str, str] | None:
    """The address and password to print, or None where there is an administrator already.

    Raises ConfigurationError when address, name or password will not do, or the address is a plain user's. A name that
    is taken gets an ending.
    """
    if await users.has_admin():
        return None
    chosen = password or secrets.token_urlsafe(18)
    try:
        address = normal_email(email)
        name = _named(username)
        hashed = await passwords.hash(chosen, personal=(address, name))
    except (ValueError, Invalid) as exc:
        raise ConfigurationError(f"the first administrator cannot be made: {exc}") from exc
    for free in (name, f"{name[:55]}-{secrets.token_hex(4)}"):
        try:
            await users.register(Registration(email=address, username=free, password_hash=hashed, roles=("admin",)))
        except Conflict:
            # Another process was faster, or a user has taken the name.
            if await users.has_admin():
                return None
        else:
            return address, chosen
    raise ConfigurationError(f"the first administrator cannot be made: {address!r} belongs to another user")


def _named(username: str) -> str:
    try:
        return TypeAdapter(Username).validate_python(username)
    except ValidationError:
        raise ValueError(f"{username!r} is no username") from None
