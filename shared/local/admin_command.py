"""`python -m functions admin`: the first administrator, on whatever database the environment names."""

import argparse
import asyncio
import getpass
import sys
from pathlib import Path
from typing import Any

from shared.errors import ConfigurationError

# Longer than any password: what is larger was meant for something else.
_MOST_BYTES = 4096


def add_command(commands: "argparse._SubParsersAction[Any]") -> None:
    admin = commands.add_parser("admin", help="make the first administrator, where there is none")
    admin.add_argument("email", help="their address")
    admin.add_argument("--username", default="admin")
    admin.add_argument(
        "--password-file", default="-", metavar="FILE", help="it holds the password; else it is read or asked for here"
    )
    admin.set_defaults(run=_admin)


def _admin(asked: argparse.Namespace) -> int:
    """Where there is an administrator already that is no failure: whoever starts this again means no other."""
    password = _password(asked.password_file)
    made = asyncio.run(_made(asked.email, asked.username, password))
    sys.stdout.write(f"administrator: {made}\n" if made else "there is an administrator already: nothing was changed\n")
    return 0


async def _made(email: str, username: str, password: str) -> str | None:
    from shared.config import Settings
    from shared.local.admin import ensure_admin
    from shared.ports.passwords import Passwords
    from shared.ports.users import Users
    from shared.wiring import Ports

    async with Ports(Settings.read()) as ports:
        users, passwords = await ports.open(Users), await ports.open(Passwords)
        made = await ensure_admin(users, passwords, email, password, username=username)
    return made[0] if made else None


def _password(file: str) -> str:
    """Never an argument, which everybody on the machine could read."""
    if file == "-" and sys.stdin.isatty():
        first = getpass.getpass("password: ")
        if getpass.getpass("once more: ") != first:
            raise ConfigurationError("these are two passwords")
        return _checked(first, "what was typed")
    try:
        content = sys.stdin.buffer.read(_MOST_BYTES + 1) if file == "-" else _start_of(Path(file))
    except OSError as exc:
        raise ConfigurationError(f"{file!r} cannot be read: {exc.strerror}") from None
    where = "standard input" if file == "-" else repr(file)
    try:
        return _checked(content.decode().removesuffix("\n").removesuffix("\r"), where)
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where} is no text") from None


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES + 1)


def _checked(password: str, where: str) -> str:
    if not password or "\n" in password:
        raise ConfigurationError(f"{where} holds no single line with a password")
    return password
