"""Who is at the other end of a socket: its first frame has to say so."""

import asyncio
from dataclasses import dataclass

from functions.realtime._frames import Auth, BadFrame, frame_of
from shared.errors import Unauthorized
from shared.function import Caller
from shared.identity import authenticate, authenticate_key
from shared.ports.api_keys import PREFIX, ApiKeys
from shared.ports.sessions import Sessions
from shared.ports.tokens import Tokens
from shared.streams import Closed, Connection

FIRST_FRAME_S = 5.0
UNAUTHORIZED = 4401


@dataclass(frozen=True)
class Entrance:
    """Raises Closed for whoever proves nothing; the reason says no more than a request's 401 does."""

    tokens: Tokens
    sessions: Sessions
    keys: ApiKeys

    async def first(self, connection: Connection) -> Caller:
        try:
            async with asyncio.timeout(FIRST_FRAME_S):
                frame = frame_of(await connection.receive())
        except TimeoutError:
            raise Closed(UNAUTHORIZED, f"no auth frame came within {FIRST_FRAME_S:g} s") from None
        except BadFrame:
            raise Closed(UNAUTHORIZED, "the first frame has to be auth") from None
        if not isinstance(frame, Auth):
            raise Closed(UNAUTHORIZED, "the first frame has to be auth")
        return await self.prove(frame)

    async def prove(self, frame: Auth) -> Caller:
        """By an access token or an API key."""
        try:
            if frame.token.startswith(PREFIX):
                return await authenticate_key(frame.token, keys=self.keys)
            return await authenticate(f"Bearer {frame.token}", tokens=self.tokens, sessions=self.sessions)
        except Unauthorized as error:
            raise Closed(UNAUTHORIZED, str(error.details.get("reason", "token_invalid"))) from None
