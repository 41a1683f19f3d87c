"""POST /oauth/token: tokens for a code, or for a refresh token, which dies with it."""

from functions.oauth._here import issuer_here
from functions.oauth._issuing import AccessOnly, TokenRequest, WithRefresh, issued, redeemed, refreshed
from shared.errors import Invalid, Unauthorized
from shared.function import Call, http
from shared.ports.oauth import Grants
from shared.ports.tokens import Tokens
from shared.public_url import PublicUrl


@http(
    "POST",
    "/oauth/token",
    scope=None,
    envelope=False,
    keyed=False,
    form=True,
    oauth=True,
    body_limit_bytes=16 * 1024,
)
async def issue_token(
    request: TokenRequest, *, grants: Grants, tokens: Tokens, public: PublicUrl, call: Call
) -> AccessOnly | WithRefresh:
    """A code is good once, and a refresh token: a second use ends the session that came of it."""
    issuer_here(public, call)
    ways = {"authorization_code": redeemed, "refresh_token": refreshed}
    granted = ways.get(request.grant_type)
    if granted is None:
        raise Invalid(f"the grant type {request.grant_type!r} is not served", error="unsupported_grant_type")
    try:
        return issued(await granted(request, grants, tokens, call), request, tokens)
    except Unauthorized as error:
        raise Invalid(error.message, error="invalid_grant") from error
