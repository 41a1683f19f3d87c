"""POST /api/v1/auth/login: a session for an address or username and its password."""

from uuid import UUID

from pydantic import Field

from functions.auth._pair import TokenPair, pair
from shared.errors import Invalid, Unauthorized
from shared.function import HOT, Call, http
from shared.login import logged_in
from shared.payload import Payload
from shared.ports.passwords import Passwords
from shared.ports.sessions import Active, Sessions
from shared.ports.throttle import Throttle
from shared.ports.tokens import Tokens
from shared.ports.users import User, Users


class Login(Payload):
    """Either `email` or `username`; either field takes both."""

    email: str | None = Field(default=None, max_length=254)
    username: str | None = Field(default=None, max_length=254)
    password: str = Field(max_length=512, repr=False)


class LoggedIn(TokenPair):
    user: User


@http("POST", "/api/v1/auth/login", scope=None, keyed=False, scale=HOT)
async def login(
    request: Login,
    *,
    users: Users,
    passwords: Passwords,
    sessions: Sessions,
    tokens: Tokens,
    throttle: Throttle,
    call: Call,
) -> LoggedIn:
    """An unknown name costs the same time and gets the same answer as a wrong password."""
    name = request.email or request.username
    if not name or (request.email and request.username):
        raise Invalid("either email or username is needed")
    refresh_token = tokens.new_refresh()

    async def start(user_id: UUID) -> Active:
        return await sessions.start(user_id, refresh_token, call=call)

    session = await logged_in(
        name, request.password, start, users=users, passwords=passwords, throttle=throttle, call=call
    )
    user = await users.get(session.user_id)
    if user is None:
        raise Unauthorized("the account was erased", reason="credentials")
    return LoggedIn(**pair(session, refresh_token, tokens).model_dump(), user=user)
