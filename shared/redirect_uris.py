"""Where a browser may be sent back to: exactly where a client has said, but for the port of this machine."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

MOST: Final = 20
_LONGEST: Final = 500
# One spelling for all readers: no userinfo, no fragment, no backslash, nothing beyond ASCII.
_URI: Final = re.compile(
    r"(?P<origin>(?P<secure>https)://[a-z0-9.-]+|http://(?:localhost|127\.0\.0\.1|\[::1\]))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<rest>[/?][!-\"$-;=?-\[\]-~]*)?",
    re.ASCII,
)


def is_redirect_uri(text: str) -> bool:
    """HTTPS, or this machine (RFC 8252, 7.3): nothing else is asked for codes."""
    found = _URI.fullmatch(text) if len(text) <= _LONGEST else None
    return found is not None and int(found["port"] or 0) < 1 << 16


def is_registered(asked: str, registered: Sequence[str]) -> bool:
    """A program takes what port of loopback it gets, so there any port is the same."""
    if not is_redirect_uri(asked):
        return False
    if asked in registered:
        return True
    wanted = _without_port(asked)
    return wanted is not None and any(_without_port(one) == wanted for one in registered)


def is_loopback(uri: str) -> bool:
    return uri.startswith("http://")


def origin_of(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def _without_port(uri: str) -> tuple[str, str] | None:
    """None where the port counts."""
    found = _URI.fullmatch(uri)
    return None if found is None or found["secure"] else (found["origin"], found["rest"] or "")
