"""POST /ui/token: an access token for the handle in a browser's cookie, for the UI's server only."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.function import http
from shared.identity import scopes_of
from shared.payload import Payload
from shared.ports.tokens import Tokens
from shared.ports.ui_sessions import UiSessions


class ExchangeUiSession(Payload):
    handle: str = Field(max_length=100, repr=False)
    ui_key: str = Field(max_length=100, repr=False)


class UiToken(BaseModel):
    """`expires_in` is the access token's life in seconds."""

    model_config = ConfigDict(frozen=True)
    access_token: str = Field(repr=False)
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - what kind of token it is
    expires_in: int


# Unlimited: all users of the UI come from its one address, and without its key nothing is looked up.
@http("POST", "/ui/token", scope=None, keyed=False, limited=False)
async def exchange_ui_session(request: ExchangeUiSession, *, ui_sessions: UiSessions, tokens: Tokens) -> UiToken:
    session = await ui_sessions.exchange(request.handle, request.ui_key)
    access = tokens.issue(
        user_id=session.user_id,
        session_id=session.session_id,
        roles=session.roles,
        scopes=scopes_of(session.roles),
    )
    return UiToken(access_token=access.text, expires_in=access.expires_in_s)
