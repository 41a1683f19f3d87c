"""POST /api/v1/auth/logout: ends the session that asks, everywhere within a second."""

from shared.function import Caller, http
from shared.ports.sessions import Ended, Sessions


@http("POST", "/api/v1/auth/logout", scope="sessions:own", keyed=False)
async def logout(*, caller: Caller, sessions: Sessions) -> Ended:
    ended = await sessions.end(caller.user_id, caller.session_id, action="auth.logout")
    return Ended(ended=int(ended))
