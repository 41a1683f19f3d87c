"""How long an answer may be shown again (RFC 9111, for a cache that serves one person)."""

import re
from collections.abc import Mapping

_DIRECTIVE = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s,"]*)))?""")
_MOST_CHARACTERS = 2000


def lifetime_s(headers: Mapping[str, str], *, now: float, unsaid_s: float = 0.0) -> float | None:
    """None for what must not be kept, 0 for what its origin must be asked about each time.

    `unsaid_s` holds where the origin says nothing.
    """
    said = _directives(headers.get("cache-control", ""))
    if "no-store" in said or "*" in headers.get("vary", ""):
        return None
    if "no-cache" in said or (not said and "no-cache" in headers.get("pragma", "").lower()):
        lifetime = 0.0
    elif "max-age" in said:
        lifetime = _seconds(said["max-age"]) - _seconds(headers.get("age", ""))
    elif "expires" in headers:
        lifetime = _until(headers["expires"], _date(headers.get("date", ""), now))
    else:
        lifetime = unsaid_s
    if lifetime > 0:
        return lifetime
    return 0.0 if validators(headers) else None


def validators(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that ask whether an answer still holds."""
    found = {}
    if _sendable(etag := headers.get("etag", "")):
        found["if-none-match"] = etag
    if _sendable(modified := headers.get("last-modified", "")):
        found["if-modified-since"] = modified
    return found


def _sendable(value: str) -> bool:
    return bool(value) and len(value) <= _MOST_CHARACTERS and value.isascii() and value.isprintable()


def _directives(text: str) -> dict[str, str]:
    return {found[1].lower(): found[2] or found[3] or "" for found in _DIRECTIVE.finditer(text[:_MOST_CHARACTERS])}


def _seconds(text: str) -> float:
    """What is no number counts as 0: the answer is stale."""
    text = text.strip()
    return float(text[:10]) if text.isascii() and text.isdigit() else 0.0


def _date(text: str, otherwise: float) -> float:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(text[:100]).timestamp()
    except (ValueError, TypeError, OverflowError):
        return otherwise


def _until(expires: str, now: float) -> float:
    return _date(expires, now) - now
