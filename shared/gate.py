"""Lets in whoever may call: a token or an API key, a rate that is not spent, and a role that gives the scope."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.addresses import Networks
from shared.asgi import Request
from shared.errors import Forbidden, SutazaiError, Unauthorized
from shared.function import Caller
from shared.identity import authenticate, authenticate_key, authorize
from shared.meter import Meter
from shared.ports.api_keys import ApiKeys
from shared.ports.sessions import Active, Sessions
from shared.ports.tokens import Tokens
from shared.public_url import PublicUrl
from shared.wiring import Ports

if TYPE_CHECKING:
    from shared.ports.oauth import Outside

# A token that was just proven is not looked at again for as long, half of what a session may go unasked for.
_PROVEN_S = 0.25
_REMEMBERED = 1024


@dataclass(slots=True)
class _Proven:
    caller: Caller
    session: Active
    until: float


class Gate:
    """The one door of requests over HTTP."""

    def __init__(self, scope: str, *, limited: bool = True) -> None:
        self._scope = scope
        self._meter = Meter() if limited else None
        self._tokens: Tokens | None = None
        self._sessions: Sessions | None = None
        self._keys: ApiKeys | None = None
        self._outside: Outside | None = None
        self._trusted: Networks = ()
        self._known: dict[str, _Proven] = {}

    async def open(self, ports: Ports) -> None:
        self._tokens = await ports.open(Tokens)
        self._sessions = await ports.open(Sessions)
        self._keys = await ports.open(ApiKeys)
        self._public = await ports.open(PublicUrl)
        if ports.settings.oauth_issuer is not None:
            from shared.ports.oauth import Outside

            self._outside = await ports.open(Outside)
        self._trusted = ports.settings.trusted_proxies
        if self._meter is not None:
            await self._meter.open(ports)

    async def caller(self, request: Request) -> Caller:
        """Raises Unauthorized, RateLimited, and Forbidden where the caller's roles or key do not give the scope."""
        request.trusted = self._trusted
        try:
            caller = await self._proven(request.header(b"authorization"), request.header(b"x-api-key"))
            if caller.resources is not None:
                self._public.check_resource(caller, request)
        except Unauthorized as error:
            # Whoever guesses is counted too.
            if self._meter is not None:
                await self._meter.count(request, None)
            self.challenged(error, request)
            raise
        if self._meter is not None:
            await self._meter.count(request, caller)
        try:
            authorize(caller, self._scope)
        except Forbidden as error:
            self.challenged(error, request)
            raise
        return caller

    def challenged(self, error: SutazaiError, request: Request) -> None:
        """Has a refusal say where a token that would do can be got."""
        if isinstance(error, Unauthorized | Forbidden):
            self._public.challenged(error, request, self._scope)

    async def _proven(self, authorization: str | None, api_key: str | None) -> Caller:
        assert self._tokens and self._sessions and self._keys
        if api_key is None:
            return self._recalled(authorization) or await self._authenticated(authorization)
        if authorization is not None:
            raise Unauthorized("a token and an API key were sent: which of them counts?", reason="two_credentials")
        return await authenticate_key(api_key, keys=self._keys)

    def _recalled(self, authorization: str | None) -> Caller | None:
        """Whom this header has just proven, as long as nothing new has been heard of the session."""
        known = self._known.get(authorization) if authorization is not None else None
        if known is None or known.until <= time.monotonic():
            return None
        assert self._sessions
        return known.caller if self._sessions.recalled(known.caller.session_id) is known.session else None

    async def _authenticated(self, authorization: str | None) -> Caller:
        assert self._tokens and self._sessions
        tokens, sessions, outside = self._tokens, self._sessions, self._outside
        caller = await authenticate(authorization, tokens=tokens, sessions=sessions, bound=True, outside=outside)
        session = self._sessions.recalled(caller.session_id)
        if session is not None and authorization is not None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            left_s = min(_PROVEN_S, caller.expires_at - time.time())
            self._known[authorization] = _Proven(caller, session, time.monotonic() + left_s)
        return caller
