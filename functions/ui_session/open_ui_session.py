"""POST /ui/session: a cookie for a code, sent by the UI's own page."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from functions.ui_session._cookie import check_origin, headers_with
from shared.function import Call, Reply, http
from shared.payload import Payload
from shared.ports.ui_sessions import UiSessions


class OpenUiSession(Payload):
    code: str = Field(max_length=100, repr=False)


class Opened(BaseModel):
    model_config = ConfigDict(frozen=True)
    expires_at: datetime


@http("POST", "/ui/session", scope=None, keyed=False)
async def open_ui_session(request: OpenUiSession, *, ui_sessions: UiSessions, call: Call) -> Reply[Opened]:
    """The cookie holds an opaque handle and lasts as long as the session may."""
    check_origin(call, ui_sessions)
    handle, session = await ui_sessions.open(request.code)
    left_s = int((session.expires_at - datetime.now(UTC)).total_seconds())
    headers = headers_with(handle, max_age_s=left_s, call=call)
    return Reply(data=Opened(expires_at=session.expires_at), status=200, headers=headers)
