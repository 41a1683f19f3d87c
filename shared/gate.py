"""Lets in whoever may call: a bearer token, a live session, and a role that gives the scope."""

from shared.asgi import Request
from shared.function import Caller
from shared.identity import authenticate, authorize
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.wiring import Ports


class Gate:
    def __init__(self, scope: str) -> None:
        self._scope = scope
        self._tokens: Tokens | None = None
        self._sessions: Sessions | None = None

    async def open(self, ports: Ports) -> None:
        self._tokens = await ports.open(Tokens)
        self._sessions = await ports.open(Sessions)

    async def caller(self, request: Request) -> Caller:
        """Raises Unauthorized, and Forbidden where the caller's roles do not give the scope."""
        assert self._tokens and self._sessions
        header = request.header(b"authorization")
        caller = await authenticate(header, tokens=self._tokens, sessions=self._sessions)
        authorize(caller, self._scope)
        return caller
