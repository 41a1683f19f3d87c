"""From a code, or a refresh token, to what is issued for it."""

import re
from hashlib import sha256
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import Invalid
from shared.function import Call
from shared.payload import Payload
from shared.ports.oauth import Grant, Grants
from shared.ports.tokens import Bound, Tokens

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


class TokenRequest(Payload):
    """RFC 6749, 4.1.3 and 6. What is unknown is ignored, as it has to be."""

    model_config = ConfigDict(extra="ignore")
    grant_type: str = Field(default="", max_length=100)
    client_id: str = Field(default="", max_length=2000)
    code: str = Field(default="", max_length=200, repr=False)
    redirect_uri: str = Field(default="", max_length=2000)
    code_verifier: str = Field(default="", max_length=200, repr=False)
    refresh_token: str = Field(default="", max_length=200, repr=False)
    scope: str = Field(default="", max_length=4000)
    resource: str | None = Field(default=None, max_length=500)


class AccessOnly(BaseModel):
    """`expires_in` in seconds; the scope may be less than was asked for."""

    model_config = ConfigDict(frozen=True)
    access_token: str = Field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - what kind of token it is
    expires_in: int
    scope: str


class WithRefresh(AccessOnly):
    refresh_token: str = Field(repr=False)


async def redeemed(request: TokenRequest, grants: Grants, tokens: Tokens, call: Call) -> Grant:
    if not _VERIFIER.fullmatch(request.code_verifier):
        raise Invalid("code_verifier is missing or malformed", error="invalid_request")
    return await grants.redeem(
        request.code,
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        challenge=sha256(request.code_verifier.encode()).digest(),
        resource=request.resource,
        refresh_token=tokens.new_refresh(),
        call=call,
    )


async def refreshed(request: TokenRequest, grants: Grants, tokens: Tokens, call: Call) -> Grant:
    """What cannot be granted is refused before the token is used up."""
    successor = tokens.next_refresh(request.refresh_token)
    held = await grants.held(request.refresh_token, client_id=request.client_id)
    if held is not None and request.resource not in (None, held.resource):
        raise Invalid("the refresh token is for another resource", error="invalid_target")
    if held is not None and not held.scopes.issuperset(request.scope.split()):
        raise Invalid("the refresh token does not give all of the scope", error="invalid_scope")
    return await grants.rotate(request.refresh_token, successor, client_id=request.client_id, call=call)


def issued(grant: Grant, request: TokenRequest, tokens: Tokens) -> AccessOnly | WithRefresh:
    # A refresh may ask for less; what a code is for was settled with its user.
    less = frozenset(request.scope.split()) if request.grant_type == "refresh_token" else frozenset()
    scopes = less or grant.scopes
    access = tokens.issue(
        user_id=grant.session.user_id,
        session_id=grant.session.session_id,
        roles=frozenset(),
        scopes=scopes,
        bound=Bound(issuer=grant.issuer, resource=grant.resource, client_id=request.client_id),
    )
    said = AccessOnly(access_token=access.text, expires_in=access.expires_in_s, scope=" ".join(sorted(scopes)))
    if grant.refresh_token is None:
        return said
    return WithRefresh(**said.model_dump(), refresh_token=grant.refresh_token)
