"""OAuth: programs that a user lets in with less than the user may do, each for one resource."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.function import Call, Caller
from shared.ports.sessions import Active

CODE_S = 60
# How long the page that asks for consent may lie open.
PAGE_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that asks. `host` has vouched for the rest; empty where the client has only spoken for itself.

    `refreshes`: it has said that it can use refresh tokens.
    """

    client_id: str
    name: str
    redirect_uris: tuple[str, ...]
    refreshes: bool
    host: str = ""


class Clients(Protocol):
    async def get(self, client_id: str) -> Client:
        """By the URL that describes it, or by an id of ours.

        Raises Invalid where there is no such client or it describes itself wrongly, Unavailable where its
        description cannot be had now.
        """

    def register(self, *, name: str, redirect_uris: Sequence[str], refreshes: bool) -> Client:
        """Keeps nothing: the id says all there is, sealed. Raises Invalid as `get` does."""


class Seals(Protocol):
    def seal(self, *parts: str) -> str:
        """What shows for PAGE_S that these parts were put on a page by us."""

    def holds(self, sealed: str, *parts: str) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a client has asked for and a user has granted; `challenge` is the SHA-256 of the verifier (RFC 7636)."""

    client: Client
    redirect_uri: str
    challenge: bytes
    scopes: frozenset[str]
    resource: str
    issuer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A session that a client holds; without `refresh_token` it lasts as long as its access token."""

    session: Active
    scopes: frozenset[str]
    resource: str
    issuer: str
    refresh_token: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A session that a client holds or has held."""

    user_id: UUID
    session_id: UUID
    scopes: frozenset[str]
    resource: str


class Grants(Protocol):
    """Codes and tokens are stored as hashes only; each act leaves its audit line in its own transaction."""

    async def offer(self, user_id: UUID, asked: Asked) -> str:
        """A code, good for one use within CODE_S. Raises Unauthorized when the user is disabled or erased."""

    async def denied(self, client: Client) -> None:
        """Of whoever says no nothing is known."""

    async def redeem(
        self,
        code: str,
        *,
        client_id: str,
        redirect_uri: str,
        challenge: bytes,
        resource: str | None,
        refresh_token: str,
        call: Call,
    ) -> Grant:
        """The session for a code, which is used up whatever comes of it; `challenge` is the hash of the verifier.

        Raises Invalid for what does not fit the code, and for one that was used before: the session that came of
        it then ends.
        """

    async def rotate(self, refresh_token: str, successor: str, *, client_id: str, call: Call) -> Grant:
        """As Sessions.rotate, for the client whose token it is. Raises Unauthorized."""

    async def held(self, refresh_token: str, *, client_id: str) -> Held | None:
        """What is behind a client's refresh token, used or not."""


class Identity(BaseModel):
    """Somebody whom the outside issuer knows, and the user that they are here."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    issuer: str
    subject: str
    user_id: UUID
    created_at: datetime


class Identities(Protocol):
    async def link(self, actor: UUID, *, subject: str, user_id: UUID) -> Identity:
        """Raises NotFound for no such user or without an outside issuer, Conflict where the subject is linked."""

    async def of_issuer(self) -> tuple[Identity, ...]:
        """The newest first, of the issuer that is set."""

    async def unlink(self, actor: UUID, identity_id: UUID) -> bool:
        """False where there is none."""


class Outside(Protocol):
    """Tokens of the issuer that the operator has named."""

    async def caller(self, token: str) -> Caller | None:
        """Who it lets in, for the one resource it is for; None where another has issued it.

        Raises Unauthorized, and Unavailable where the issuer's keys cannot be had now.
        """
