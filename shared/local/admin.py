"""The first administrator of a fresh installation."""

import secrets

from shared.errors import ConfigurationError, Conflict, Invalid
from shared.ports.passwords import Passwords
from shared.ports.users import Registration, Users, normal_email


async def ensure_admin(users: Users, passwords: Passwords, email: str, password: str | None) -> tuple[str, str] | None:
    """The address and password to print, or None where there is an administrator already.

    Raises ConfigurationError when address or password will not do, or the address is a plain user's.
    """
    if await users.has_admin():
        return None
    chosen = password or secrets.token_urlsafe(18)
    try:
        address = normal_email(email)
        hashed = await passwords.hash(chosen, personal=(address,))
    except (ValueError, Invalid) as exc:
        raise ConfigurationError(f"the first administrator cannot be made: {exc}") from exc
    for username in ("admin", f"admin-{secrets.token_hex(4)}"):
        try:
            await users.register(Registration(email=address, username=username, password_hash=hashed, roles=("admin",)))
        except Conflict:
            # Another process was faster, or a user has taken the name.
            if await users.has_admin():
                return None
        else:
            return address, chosen
    raise ConfigurationError(f"the first administrator cannot be made: {address!r} belongs to another user")
