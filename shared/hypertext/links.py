"""Links of a page, made absolute."""

import re
from urllib.parse import urljoin

_MOST_CHARACTERS = 4096
# What a browser drops or mends, and what would end a link in Markdown.
_DROPPED = re.compile(r"[\t\n\r]+")
_ESCAPED = {" ": "%20", "(": "%28", ")": "%29", "<": "%3C", ">": "%3E", '"': "%22", "\\": "%5C"}
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")
_USEFUL = ("http:", "https:", "mailto:", "tel:", "ftp:")


def absolute(base: str, link: str) -> str | None:
    """None for what leads nowhere outside a browser, such as `javascript:` and `data:`."""
    link = _DROPPED.sub("", link).strip()
    if not link or len(link) > _MOST_CHARACTERS:
        return None
    try:
        joined = urljoin(base, link)
    except ValueError:
        return None
    scheme = _SCHEME.match(joined)
    if scheme is None or scheme[0].lower() not in _USEFUL or not joined.replace(" ", "").isprintable():
        return None
    return "".join(_ESCAPED.get(character, character) for character in joined)
