"""Users: who has an account, what they may do, and what they like."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Literal, Protocol
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

_ADDRESS = re.compile(
    r"(?=.{6,254}\Z)(?=.{1,64}@)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])",
    re.ASCII,
)


def normal_email(address: str) -> str:
    """In lower case, which is how providers compare them. Raises ValueError for what is no address."""
    lowered = address.lower()
    if not address.isascii() or not _ADDRESS.fullmatch(lowered):
        raise ValueError("that is no e-mail address in its ASCII form")
    return lowered


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return text.strip()


Role = Literal["user", "operator", "auditor", "admin"]
Email = Annotated[str, Field(max_length=254), AfterValidator(normal_email)]
# Never with an @, so that a login is either a name or an address.
Username = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{2,63}$")]
FullName = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
Language = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}$")]


class Preferences(BaseModel):
    """None means that the user has not said."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    theme: Literal["light", "dark", "system", "auto"] | None = None
    language: Language | None = None
    notifications: bool | None = None


class User(BaseModel):
    """A user as shown to themselves and to administrators."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    email: str
    username: str
    full_name: str
    preferences: Preferences
    roles: tuple[Role, ...]
    tier: str
    is_active: bool
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None


class UserPage(BaseModel):
    """Users, oldest first; `total` counts all that match, `next_cursor` is None on the last page."""

    model_config = ConfigDict(frozen=True)
    users: tuple[User, ...]
    total: int
    limit: int
    page: int | None
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """`email` is normalised, `password_hash` comes from Passwords."""

    email: str
    username: str
    password_hash: str = field(repr=False)
    roles: tuple[Role, ...] = ("user",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a password is compared with."""

    user_id: UUID
    is_active: bool
    password_hash: str = field(repr=False)


class Users(Protocol):
    """Each method that changes something leaves its events and its audit line in the same transaction."""

    async def register(self, new: Registration) -> User:
        """Raises Conflict when the address or the name is taken."""

    async def get(self, user_id: UUID) -> User | None: ...

    async def credentials(self, login: str) -> Credentials | None:
        """By address or username, whatever their case."""

    async def credentials_of(self, user_id: UUID) -> Credentials | None: ...

    async def refused(self, action: str, *, user_id: UUID | None, login: str = "") -> None:
        """Records an act that was refused; a login that nobody has is kept as its keyed hash."""

    async def update_profile(
        self, user_id: UUID, *, full_name: str | None, preferences: Preferences | None
    ) -> User | None:
        """None leaves a field as it is; so does a preference that is None."""

    async def rehash(self, user_id: UUID, *, old: str, new: str) -> None:
        """Replaces the hash of an unchanged password, unless it was changed meanwhile."""

    async def change_password(self, user_id: UUID, *, old: str, new: str, keep_session: UUID) -> int | None:
        """Ends the user's other sessions and returns how many; None when `old` is no longer the hash."""

    async def set_access(
        self, user_id: UUID, *, actor: UUID, roles: tuple[Role, ...] | None, is_active: bool | None
    ) -> User | None:
        """Disabling ends the user's sessions. Raises Conflict where no active administrator would be left."""

    async def page(
        self, *, limit: int, cursor: str | None, page: int | None, search: str | None, is_active: bool | None
    ) -> UserPage:
        """`search` is part of a username or a whole address. Raises Invalid for a foreign cursor."""

    async def erase(self, user_id: UUID) -> bool:
        """Deletes every row but the audit lines. Raises Conflict for the last active administrator."""

    async def has_admin(self) -> bool: ...
