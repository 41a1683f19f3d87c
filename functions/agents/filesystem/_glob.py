"""Globs over relative paths: `*` and `?` in a name, `**` over folders, `[a-z]`, `{a,b}`, `!` in front.

Matching never takes more steps than pattern times path, whatever the pattern: no regular expressions.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TypeVar

from shared.errors import ToolError

_MOST_ALTERNATIVES = 256
_MOST_CHARACTERS = 1000

T = TypeVar("T")
Test = Callable[[str], bool]


class Glob:
    """Raises ToolError where the pattern is too long or has too many alternatives."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > _MOST_CHARACTERS:
            raise ToolError(f"the pattern is longer than {_MOST_CHARACTERS} characters")
        body = pattern.lstrip("!")
        self._negated = (len(pattern) - len(body)) % 2 == 1
        self._alternatives = [_segments(text) for text in _expanded(body)]

    def matches(self, path: str) -> bool:
        names = path.split("/")
        return any(_all(alternative, names) for alternative in self._alternatives) is not self._negated


def _all(segments: "Sequence[Test | None]", names: Sequence[str]) -> bool:
    # `a/**` means what lies in a, not a itself.
    if segments and segments[-1] is None:
        return len(names) > 0 and _starred([*segments[:-1], None, lambda _name: True], names)
    return _starred(segments, names)


def _starred(tests: "Sequence[Callable[[T], bool] | None]", items: Sequence[T]) -> bool:
    """Whether the items pass the tests one by one, where None stands for any number of items."""
    at = item = 0
    star = resume = -1
    while item < len(items):
        test = tests[at] if at < len(tests) else _nothing
        if test is None:
            star, resume = at, item
            at += 1
        elif test(items[item]):
            at, item = at + 1, item + 1
        elif star >= 0:
            resume += 1
            at, item = star + 1, resume
        else:
            return False
    return all(test is None for test in tests[at:])


def _nothing(_item: object) -> bool:
    return False


def _segments(pattern: str) -> "list[Test | None]":
    return [None if part == "**" else _name_test(part) for part in pattern.split("/")]


def _name_test(segment: str) -> Test:
    tokens: list[Test | None] = []
    at = 0
    while at < len(segment):
        character = segment[at]
        at += 1
        if character == "*":
            tokens.append(None)
        elif character == "?":
            tokens.append(lambda _any: True)
        elif character == "[" and (end := _class_end(segment, at)) > 0:
            tokens.append(_class(segment[at:end]))
            at = end + 1
        else:
            if character == "\\" and at < len(segment):
                character, at = segment[at], at + 1
            tokens.append(character.__eq__)
    return lambda name: _starred(tokens, name)


def _class_end(segment: str, start: int) -> int:
    # A bracket that comes first is one of the characters.
    return segment.find("]", start + 1 + (segment[start : start + 1] in ("!", "^")))


def _class(inside: str) -> Test:
    negated = inside[:1] in ("!", "^")
    inside = inside[1:] if negated else inside
    ranges: list[tuple[str, str]] = []
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            ranges.append((inside[at], inside[at + 2]))
            at += 3
        else:
            ranges.append((inside[at], inside[at]))
            at += 1
    return lambda character: any(low <= character <= high for low, high in ranges) is not negated


def _expanded(pattern: str) -> list[str]:
    """The pattern once for each combination of its `{a,b}`."""
    done: list[str] = []
    waiting = [pattern]
    while waiting:
        text = waiting.pop()
        parts = _first_braces(text)
        if parts is None:
            done.append(text)
        else:
            before, choices, after = parts
            waiting += [before + choice + after for choice in choices]
        if len(done) + len(waiting) > _MOST_ALTERNATIVES:
            raise ToolError(f"the pattern has more than {_MOST_ALTERNATIVES} alternatives")
    return done


def _first_braces(text: str) -> tuple[str, list[str], str] | None:
    for start in (position for position, character in enumerate(text) if character == "{"):
        cuts = list(_cuts(text, start))
        if len(cuts) > 2:
            choices = [text[left + 1 : right] for left, right in pairwise(cuts)]
            return text[:start], choices, text[cuts[-1] + 1 :]
    return None


def _cuts(text: str, start: int) -> Iterator[int]:
    """Where the braces that open at `start` open, part and close; nothing where they do not close."""
    depth = 0
    found = [start]
    for position in range(start, len(text)):
        character = text[position]
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 1:
            found.append(position)
        if depth == 0:
            yield from (*found, position)
            return
