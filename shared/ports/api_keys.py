"""API keys: what lets a program in for its owner, with less than the owner may do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

# How every key begins, so that scanners for secrets find it, and nobody takes it for a token.
PREFIX: Final = "sz_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveKey:
    """A live key of an enabled user, with the roles and the tier that the user has now."""

    key_id: UUID
    user_id: UUID
    roles: frozenset[str]
    tier: str
    scopes: frozenset[str]
    expires_at: datetime | None


class ApiKey(BaseModel):
    """A key as its owner sees it: `hint` is how it begins. Without `expires_at` it lasts until it is deleted."""

    model_config = ConfigDict(frozen=True, defer_build=True)
    id: UUID
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewApiKey(ApiKey):
    """`key` is shown this once."""

    key: str = Field(repr=False)


class ApiKeys(Protocol):
    """Keys are stored as hashes only. Ending one, or disabling its owner, holds everywhere within a second."""

    async def check(self, text: str) -> ActiveKey | None:
        """At most half a second old. None for what is no key, unknown, deleted or expired, or of a disabled user."""

    async def create(
        self, user_id: UUID, *, name: str, scopes: frozenset[str], expires_at: datetime | None
    ) -> NewApiKey:
        """Raises Conflict where the user has as many live keys as one may have."""

    async def of(self, user_id: UUID) -> tuple[ApiKey, ...]:
        """The newest first; one that has expired is among them until the next is created."""

    async def delete(self, user_id: UUID, key_id: UUID) -> bool:
        """False when the user has no such key."""
