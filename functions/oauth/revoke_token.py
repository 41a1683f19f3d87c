"""POST /oauth/revoke: a client gives back what it was granted (RFC 7009)."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from functions.oauth._here import issuer_here
from shared.errors import Unauthorized
from shared.function import Call, http
from shared.payload import Payload
from shared.ports.oauth import Grants
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.public_url import PublicUrl


class RevokeToken(Payload):
    model_config = ConfigDict(extra="ignore")
    token: str = Field(min_length=1, max_length=4096, repr=False)
    client_id: str = Field(min_length=1, max_length=2000)


class Revoked(BaseModel):
    """The same whether there was something to revoke or not."""


@http(
    "POST",
    "/oauth/revoke",
    scope=None,
    envelope=False,
    keyed=False,
    form=True,
    oauth=True,
    body_limit_bytes=16 * 1024,
)
async def revoke_token(
    request: RevokeToken, *, grants: Grants, sessions: Sessions, tokens: Tokens, public: PublicUrl, call: Call
) -> Revoked:
    """With either of its tokens the whole session ends, within a second everywhere."""
    issuer_here(public, call)
    owner = await _owner(request, grants, tokens)
    if owner is not None:
        await sessions.end(*owner, action="oauth.revoke_token")
    return Revoked()


async def _owner(request: RevokeToken, grants: Grants, tokens: Tokens) -> tuple[UUID, UUID] | None:
    """The user and the session, where the token is this client's."""
    held = await grants.held(request.token, client_id=request.client_id)
    if held is not None:
        return held.user_id, held.session_id
    try:
        claims = tokens.verify(request.token)
    except Unauthorized:
        return None
    return (claims.user_id, claims.session_id) if claims.client_id == request.client_id else None
