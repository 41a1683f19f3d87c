"""The cookie that a browser holds, and the pages that it may come from."""

from shared.errors import Unauthorized
from shared.function import Call
from shared.ports.ui_sessions import UiSessions

NAME = "sutazai_ui"


def check_origin(call: Call, ui_sessions: UiSessions) -> None:
    """Browsers name the page with each POST. Raises Unauthorized for any page but the UI's."""
    if not ui_sessions.admits(call.origin):
        raise Unauthorized(f"pages of {call.origin!r} may not do this", reason="origin")


def headers_with(handle: str, *, max_age_s: int, call: Call) -> tuple[tuple[str, str], ...]:
    """The cookie for path `/`, since the UI is another port or another path of the same host; and, for a page whose
    origin was checked, leave to see that it worked."""
    origin = call.origin or ""
    secure = "; Secure" if origin.startswith("https://") else ""
    return (
        ("Set-Cookie", f"{NAME}={handle}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Strict{secure}"),
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    )
