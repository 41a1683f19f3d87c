"""POST /api/v1/auth/refresh: a new pair of tokens for a refresh token, which dies with it."""

from pydantic import Field

from functions.auth._pair import TokenPair, pair
from shared.function import HOT, Call, http
from shared.payload import Payload
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens


class Refresh(Payload):
    refresh_token: str = Field(max_length=4096, repr=False)


@http("POST", "/api/v1/auth/refresh", scope=None, keyed=False, scale=HOT)
async def refresh(request: Refresh, *, sessions: Sessions, tokens: Tokens, call: Call) -> TokenPair:
    """A client that lost the answer may repeat itself for 10 s; any other second use ends the session."""
    successor = tokens.next_refresh(request.refresh_token)
    session = await sessions.rotate(request.refresh_token, successor, call=call)
    return pair(session, successor, tokens)
