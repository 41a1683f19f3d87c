"""Headers that a caller may choose for a request."""

from collections.abc import Mapping

from shared.errors import ToolError
from shared.version import VERSION

USER_AGENT = f"SutazAI/{VERSION}"

_MOST, _MOST_CHARACTERS = 50, 16 * 1024
_ACCEPT = "text/html, application/xhtml+xml, application/json;q=0.9, text/*;q=0.9, */*;q=0.5"
# For whom or how a message travels, and claims about us that nobody but us can make. Cookie and Authorization are
# the caller's to give, since they reach the one origin that was named.
_REFUSED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    }
)
_REFUSED_STARTS = ("proxy-", "sec-", "x-forwarded-")
# Who sends one of these wants the origin's own answer to it.
_ABOUT_CACHES = frozenset(
    {"cache-control", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"}
    | {"pragma", "range"}
)


def chosen(headers: Mapping[str, str] | None) -> dict[str, str]:
    """With ours where the caller says nothing; names in lower case. Raises ToolError."""
    given = {name.lower(): value for name, value in (headers or {}).items()}
    if len(given) != len(headers or {}):
        raise ToolError("a header is given twice; names of headers do not depend on their case")
    if len(given) > _MOST or sum(len(name) + len(value) for name, value in given.items()) > _MOST_CHARACTERS:
        raise ToolError(f"at most {_MOST} headers with {_MOST_CHARACTERS} characters in all can be sent")
    for name in given:
        if name in _REFUSED or name.startswith(_REFUSED_STARTS):
            raise ToolError(f"the header {name!r} cannot be chosen; leave it out")
    return {"accept": _ACCEPT, "user-agent": USER_AGENT, **given}


def asks_origin(headers: Mapping[str, str]) -> bool:
    return not _ABOUT_CACHES.isdisjoint(headers)
