"""Lets in whoever may call: a token or an API key, a rate that is not spent, and a role that gives the scope."""

from shared.addresses import Networks
from shared.asgi import Request
from shared.errors import Unauthorized
from shared.function import Caller
from shared.identity import authenticate, authenticate_key, authorize
from shared.meter import Meter
from shared.ports.api_keys import ApiKeys
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.wiring import Ports


class Gate:
    """The one door: `caller` for a request, `identify` for what proves itself otherwise and is not counted."""

    def __init__(self, scope: str, *, limited: bool = True) -> None:
        self._scope = scope
        self._meter = Meter() if limited else None
        self._tokens: Tokens | None = None
        self._sessions: Sessions | None = None
        self._keys: ApiKeys | None = None
        self._trusted: Networks = ()

    async def open(self, ports: Ports) -> None:
        self._tokens = await ports.open(Tokens)
        self._sessions = await ports.open(Sessions)
        self._keys = await ports.open(ApiKeys)
        self._trusted = ports.settings.trusted_proxies
        if self._meter is not None:
            await self._meter.open(ports)

    async def caller(self, request: Request) -> Caller:
        """Raises Unauthorized, RateLimited, and Forbidden where the caller's roles or key do not give the scope."""
        request.trusted = self._trusted
        try:
            caller = await self._proven(request.header(b"authorization"), request.header(b"x-api-key"))
        except Unauthorized:
            # Whoever guesses is counted too.
            if self._meter is not None:
                await self._meter.count(request, None)
            raise
        if self._meter is not None:
            await self._meter.count(request, caller)
        authorize(caller, self._scope)
        return caller

    async def identify(self, authorization: str | None, api_key: str | None = None) -> Caller:
        """As `caller`, of the two headers' values. Raises Unauthorized and Forbidden."""
        caller = await self._proven(authorization, api_key)
        authorize(caller, self._scope)
        return caller

    async def _proven(self, authorization: str | None, api_key: str | None) -> Caller:
        assert self._tokens and self._sessions and self._keys
        if api_key is None:
            return await authenticate(authorization, tokens=self._tokens, sessions=self._sessions)
        if authorization is not None:
            raise Unauthorized("a token and an API key were sent: which of them counts?", reason="two_credentials")
        return await authenticate_key(api_key, keys=self._keys)
