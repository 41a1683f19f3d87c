"""The text of a document with what is known of its parts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.strict_json import plain

_MOST_TITLE, _MOST_PATH = 300, 200
_ENDS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f\u200b\ufeff]")
_EMPTY = re.compile(r"\n(?:[ \t]*\n){2,}")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HASHES = re.compile(r" {0,3}(#{1,6})[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:(=+)|(-+))[ \t]*$")
# What marks links, emphasis and code says nothing in a heading's path.
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*\)")
_MARKS = re.compile(r"\\([\\`*_<(\[\]])|[*`]")


@dataclass(frozen=True, slots=True)
class Heading:
    """`offset` is where its line begins, without blanks."""

    offset: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Text:
    """`title` as the document gives it itself; `pages` are the offsets at which they begin, of what has pages."""

    text: str
    title: str = ""
    headings: Sequence[Heading] = ()
    pages: Sequence[int] = ()


def cleaned(text: str) -> str:
    """With one kind of line end, no control characters, and no more than one empty line at a time."""
    return _EMPTY.sub("\n\n", _CONTROLS.sub("", _ENDS.sub("\n", plain(text)))).strip("\n")


def one_line(text: str, most: int = _MOST_TITLE) -> str:
    return " ".join(cleaned(text).split())[:most].rstrip()


def markdown(source: str, *, title: str = "") -> Text:
    """Its title, where none is given, is its first heading of the highest level."""
    text = cleaned(source)
    headings = list(_headings(text))
    if not title and headings:
        title = min(headings, key=lambda heading: heading.level).title
    return Text(text, one_line(title), headings)


def _headings(text: str) -> Iterator[Heading]:
    offset, fence, before = 0, "", (0, "")
    for line in text.split("\n"):
        fenced = _FENCE.match(line)
        if fence:
            if fenced and fenced[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif fenced:
            fence = fenced[1]
        elif found := _HASHES.match(line):
            yield Heading(offset + found.start(1), len(found[1]), _spoken(found[2]))
        elif (under := _UNDERLINE.match(line)) and _may_be_heading(before[1]):
            indent = len(before[1]) - len(before[1].lstrip())
            yield Heading(before[0] + indent, 1 if under[1] else 2, _spoken(before[1]))
        before = (offset, "" if fenced or fence or _HASHES.match(line) else line)
        offset += len(line) + 1


def _may_be_heading(line: str) -> bool:
    """Above a line of dashes, which is else a rule, or belongs to a table or a list."""
    return bool(line.strip()) and len(line) <= _MOST_TITLE and not line.lstrip().startswith(("|", ">", "-", "+ ", "* "))


def _spoken(heading: str) -> str:
    return one_line(_MARKS.sub(r"\1", _LINK.sub(r"\1", heading)), _MOST_PATH)


def paths(headings: Sequence[Heading]) -> list[str]:
    """Of each, where what follows it lies: `Guide > Install`."""
    found: list[str] = []
    path: list[Heading] = []
    for heading in headings:
        while path and path[-1].level >= heading.level:
            path.pop()
        path.append(heading)
        found.append(" > ".join(each.title for each in path if each.title)[-_MOST_PATH:])
    return found
