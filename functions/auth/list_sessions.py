"""GET /api/v1/auth/sessions: where the caller is logged in."""

from shared.function import Caller, http
from shared.ports.sessions import SessionList, Sessions


@http("GET", "/api/v1/auth/sessions", scope="sessions:own")
async def list_sessions(*, caller: Caller, sessions: Sessions) -> SessionList:
    return SessionList(sessions=await sessions.of(caller.user_id, current=caller.session_id))
