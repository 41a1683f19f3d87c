"""Tokens: signed access tokens, and refresh tokens whose successors can be worked out again."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid access token says; `expires_at` in seconds since 1970. Without `resource` it is for everything."""

    user_id: UUID
    session_id: UUID
    token_id: UUID
    roles: frozenset[str]
    scopes: frozenset[str]
    expires_at: int
    resource: str | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What an OAuth client's token is for: one resource of this issuer (RFC 8707), and nothing else."""

    issuer: str
    resource: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    text: str = field(repr=False)
    expires_in_s: int


class Tokens(Protocol):
    def issue(
        self,
        *,
        user_id: UUID,
        session_id: UUID,
        roles: frozenset[str],
        scopes: frozenset[str],
        bound: Bound | None = None,
    ) -> AccessToken:
        """An access token, valid for 10 minutes."""

    def verify(self, token: str) -> Claims:
        """Raises Unauthorized, with reason="token_expired" and expired_at where that is all that is wrong."""

    def new_refresh(self) -> str:
        """An opaque refresh token: `szr_` and 256 random bits."""

    def next_refresh(self, token: str) -> str:
        """The one successor of a refresh token: the same whenever and wherever it is asked for.

        Raises Unauthorized for what cannot be a refresh token.
        """

    def public_keys(self) -> dict[str, list[dict[str, str]]]:
        """The JSON Web Key Set that access tokens are verified with."""
