"""DELETE /api/v1/auth/sessions/{session_id}: logs the caller out somewhere."""

from uuid import UUID

from shared.errors import NotFound
from shared.function import Caller, http
from shared.payload import Payload
from shared.ports.sessions import Ended, Sessions


class EndSession(Payload):
    session_id: UUID


@http("DELETE", "/api/v1/auth/sessions/{session_id}", scope="sessions:own")
async def end_session(request: EndSession, *, caller: Caller, sessions: Sessions) -> Ended:
    if not await sessions.end(caller.user_id, request.session_id, action="auth.end_session"):
        raise NotFound(f"no session {str(request.session_id)!r}")
    return Ended(ended=1)
