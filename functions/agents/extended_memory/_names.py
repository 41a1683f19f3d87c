"""Projects and tags in one spelling, so that a model need not remember how it wrote them."""

import unicodedata
from collections.abc import Iterable

from shared.errors import ToolError

FALLBACK_PROJECT = "general"
MAX_PROJECT_CHARACTERS = 200
MAX_TAG_CHARACTERS = 100
MAX_TAGS = 50


def project_of(text: str | None) -> str:
    """Lower case, words apart by one blank, however they were joined: `My_Project-x` is `my project x`."""
    name = _plain((text or "").replace("_", " ").replace("-", " "))
    _check(name, "project_id", MAX_PROJECT_CHARACTERS)
    return name or FALLBACK_PROJECT


def tags_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Lower case, each once, by name; empty ones are left out."""
    tags = sorted({_plain(text) for text in texts} - {""})
    for tag in tags:
        _check(tag, "the tag", MAX_TAG_CHARACTERS)
    return tuple(tags)


def _plain(text: str) -> str:
    lower = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    return " ".join(lower.split())


def _check(name: str, what: str, most: int) -> None:
    if len(name) > most:
        raise ToolError(f"{what} {name[:50]!r}... is longer than {most} characters")
    # In a list of names, they would make one look like another or like two.
    if not name.isprintable():
        raise ToolError(f"{what} {name!r} holds control or invisible characters")
