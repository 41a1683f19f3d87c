"""POST /ui/session/end: takes the cookie away again; what ends the session is logging out."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from functions.ui_session._cookie import check_origin, headers_with
from shared.function import Call, Reply, http
from shared.payload import Payload
from shared.ports.ui_sessions import UiSessions


class CloseUiSession(Payload):
    pass


class Closed(BaseModel):
    model_config = ConfigDict(frozen=True)
    closed: Literal[True] = True


# Not DELETE: for that a browser would ask first whether a page of another port may.
@http("POST", "/ui/session/end", scope=None, keyed=False)
async def close_ui_session(_: CloseUiSession, *, ui_sessions: UiSessions, call: Call) -> Reply[Closed]:
    check_origin(call, ui_sessions)
    return Reply(data=Closed(), status=200, headers=headers_with("", max_age_s=0, call=call))
