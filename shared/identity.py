"""Who asks and what they may do: roles to scopes, denied by default."""

from functools import lru_cache
from typing import TYPE_CHECKING

from shared.errors import Forbidden, Unauthorized
from shared.function import Caller
from shared.ports.api_keys import ApiKeys
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens

if TYPE_CHECKING:
    from shared.ports.oauth import Outside

_OWN = frozenset({"profile:read", "users:me", "sessions:own"})
_READ = frozenset(
    {
        "agents:read",
        "analytics:read",
        "chat:read",
        "documents:read",
        "graph:read",
        "notifications:read",
        "schedules:read",
        "tasks:read",
        "vectors:read",
        "webhooks:read",
        "workflows:read",
    }
)
_WRITE = frozenset(
    {
        "agents:execute",
        "api_keys:own",
        "chat:write",
        "documents:write",
        "notifications:write",
        "schedules:write",
        "tasks:write",
        "vectors:write",
        "webhooks:write",
        "workflows:write",
    }
)
_OPERATE = frozenset(
    {
        "agents:operate",
        "dead_letters:read",
        "dead_letters:write",
        "graph:analyse",
        "mcp_servers:read",
        "mcp_servers:write",
        "schedules:all",
        "vectors:operate",
    }
)
_AUDIT = frozenset({"audit:read"})
_ADMINISTER = frozenset({"users:admin"})

USER = _OWN | _READ | _WRITE
SCOPES: dict[str, frozenset[str]] = {
    "user": USER,
    "operator": USER | _OPERATE,
    "auditor": _OWN | _READ | _AUDIT,
    "admin": USER | _OPERATE | _AUDIT | _ADMINISTER,
}


# What decides who somebody is, and lets in others: a key that leaks must not be able to make more of itself.
_NOT_FOR_KEYS = frozenset({"api_keys:own", "sessions:own", "users:me", "users:admin"})
KEY_SCOPES = frozenset().union(*SCOPES.values()) - _NOT_FOR_KEYS


@lru_cache(maxsize=64)
def scopes_of(roles: frozenset[str]) -> frozenset[str]:
    """A role that is not in the table gives nothing."""
    return frozenset().union(*(SCOPES.get(role, frozenset()) for role in roles))


async def authenticate(
    authorization: str | None,
    *,
    tokens: Tokens,
    sessions: Sessions,
    bound: bool = False,
    outside: "Outside | None" = None,
) -> Caller:
    """The caller behind an Authorization header. Roles are those of now, not those in the token.

    Raises Unauthorized. `bound`: a token for one resource is taken, and whoever asks compares `Caller.resources`;
    so are then those that `outside` has issued.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorized("a bearer token is needed", reason="token_missing")
    if bound and outside is not None and (caller := await outside.caller(token)) is not None:
        return caller
    claims = tokens.verify(token)
    if claims.resource is not None and not bound:
        raise Unauthorized("the access token is not valid: it is for something else", reason="token_invalid")
    session = await sessions.check(claims.session_id)
    if session is None or session.user_id != claims.user_id:
        raise Unauthorized("the session has ended", reason="session_ended")
    return Caller(
        user_id=session.user_id,
        session_id=session.session_id,
        roles=session.roles,
        scopes=scopes_of(session.roles) if claims.resource is None else narrowed(claims.scopes, session.roles),
        tier=session.tier,
        expires_at=claims.expires_at,
        resources=None if claims.resource is None else frozenset({claims.resource}),
    )


async def authenticate_key(text: str, *, keys: ApiKeys) -> Caller:
    """The caller behind an X-API-Key header: what the key was given, of what its owner may do now.

    Raises Unauthorized.
    """
    key = await keys.check(text)
    if key is None:
        raise Unauthorized("the API key is not valid", reason="api_key_invalid")
    return Caller(
        user_id=key.user_id,
        session_id=key.key_id,
        roles=key.roles,
        scopes=narrowed(key.scopes, key.roles),
        tier=key.tier,
    )


def narrowed(given: frozenset[str], roles: frozenset[str]) -> frozenset[str]:
    """What a program may do that was given so much of what its user may do now."""
    return given & scopes_of(roles) & KEY_SCOPES


def authorize(caller: Caller, scope: str) -> None:
    """Raises Forbidden unless one of the caller's roles gives the scope."""
    if scope not in caller.scopes:
        raise Forbidden(f"this needs the scope {scope!r}", scope=scope)
