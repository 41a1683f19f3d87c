"""DELETE /api/v1/auth/sessions: logs the caller out everywhere else."""

from shared.function import Caller, http
from shared.ports.sessions import Ended, Sessions


@http("DELETE", "/api/v1/auth/sessions", scope="sessions:own")
async def end_other_sessions(*, caller: Caller, sessions: Sessions) -> Ended:
    return Ended(ended=await sessions.end_others(caller.user_id, keep=caller.session_id))
