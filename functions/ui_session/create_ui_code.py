"""POST /ui/code: a code that lets a browser into the session that asks, once."""

from pydantic import BaseModel, ConfigDict, Field

from shared.function import Caller, http
from shared.ports.ui_sessions import CODE_S, UiSessions


class UiCode(BaseModel):
    """`expires_in` is in seconds."""

    model_config = ConfigDict(frozen=True)
    code: str = Field(repr=False)
    expires_in: int = CODE_S


@http("POST", "/ui/code", scope="sessions:own", keyed=False)
async def create_ui_code(*, caller: Caller, ui_sessions: UiSessions) -> UiCode:
    return UiCode(code=await ui_sessions.offer(caller.user_id, caller.session_id))
