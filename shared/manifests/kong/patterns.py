"""Paths as Kong's router takes them: expressions, and which of two that match comes first."""

import re

_SPECIAL = re.compile(r"([.+*?()\[\]{}|^$\\])")


def expression(path: str) -> str:
    """A whole path, with or without a slash at its end; a variable is one segment, never empty."""
    return "~/" + "/".join(map(_segment, _segments(path))) + "/?$"


def precedence(path: str) -> int:
    """Segment by segment from the left, what is written out goes before what may be anything."""
    rank = 0
    for segment in _segments(path):
        rank = rank * 2 + (not _is_variable(segment))
    return rank


def overlap(one: str, other: str) -> bool:
    """Whether some path matches both."""
    pairs = list(zip(_segments(one), _segments(other), strict=False))
    if len(_segments(one)) != len(_segments(other)):
        return False
    return all(a == b or _is_variable(a) or _is_variable(b) for a, b in pairs)


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/")


def _is_variable(segment: str) -> bool:
    return segment.startswith("{")


def _segment(segment: str) -> str:
    return "[^/]+" if _is_variable(segment) else _SPECIAL.sub(r"\\\1", segment)
