"""What logging in and refreshing have in common: the pair of tokens."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.identity import scopes_of
from shared.ports.sessions import Active
from shared.ports.tokens import Tokens


class TokenPair(BaseModel):
    """`expires_in` is the access token's life in seconds."""

    model_config = ConfigDict(frozen=True)
    access_token: str = Field(repr=False)
    refresh_token: str = Field(repr=False)
    token_type: Literal["bearer"] = Field(default="bearer")
    expires_in: int


def pair(session: Active, refresh_token: str, tokens: Tokens) -> TokenPair:
    access = tokens.issue(
        user_id=session.user_id,
        session_id=session.session_id,
        roles=session.roles,
        scopes=scopes_of(session.roles),
    )
    return TokenPair(access_token=access.text, refresh_token=refresh_token, expires_in=access.expires_in_s)
