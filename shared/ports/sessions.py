"""Sessions: where a user is logged in, and the refresh tokens that keep them so."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.function import Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Active:
    """A live session of an enabled user, with the roles and the tier that the user has now."""

    session_id: UUID
    user_id: UUID
    roles: frozenset[str]
    tier: str
    expires_at: datetime


class Session(BaseModel):
    """A session as its owner sees it; `current` is the one that asks. `client`: the program that it was given to."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    id: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str
    user_agent: str
    client: str | None
    current: bool


class SessionList(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)
    sessions: tuple[Session, ...]


class Ended(BaseModel):
    """How many sessions an act has ended."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    ended: int


class Sessions(Protocol):
    """Refresh tokens are stored as hashes only. Ending a session holds everywhere within a second."""

    async def check(self, session_id: UUID) -> Active | None:
        """At most half a second old. None when it is unknown, ended or expired, or its user disabled."""

    def recalled(self, session_id: UUID) -> Active | None:
        """What `check` would answer without asking anybody; None where it would have to ask."""

    async def start(self, user_id: UUID, refresh_token: str, *, call: Call) -> Active:
        """Raises Unauthorized when the user is disabled or erased."""

    async def rotate(self, refresh_token: str, successor: str, *, call: Call) -> Active:
        """Takes `refresh_token` out of use and puts `successor` in its place.

        Raises Unauthorized when it cannot be used. One that was used before ends its session, except that
        the same client may repeat itself for 10 s, as long as the successor is unused.
        """

    async def of(self, user_id: UUID, *, current: UUID) -> tuple[Session, ...]:
        """The live ones, last used first."""

    async def end(self, user_id: UUID, session_id: UUID, *, action: str) -> bool:
        """False when the user has no such live session."""

    async def end_others(self, user_id: UUID, *, keep: UUID) -> int: ...
