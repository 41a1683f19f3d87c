"""A text in pieces that a model can take in at once: cut where it is cut already, and overlapping where it is not."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from shared.documents.text import Text, paths

# The usual small models read 256 word pieces, of which two are their own and some the headings'. Letters are counted by
# fives, digits by twos and all else one by one: hardly a text has more pieces than that.
MOST_PIECES = 220
OVERLAP_PIECES = 32
_LEAST_PIECES = 64
_BLANKS = 8
_PIECE = re.compile(rf"(?:[A-Za-z]{{1,5}}|[0-9]{{1,2}}|[^\sA-Za-z0-9])\s{{0,{_BLANKS}}}|\s{{1,{_BLANKS}}}")
MOST_CHARACTERS = MOST_PIECES * (5 + _BLANKS)
# How good a place is to cut at.
_INSIDE, _WORD, _LINE, _SENTENCE, _PARAGRAPH, _HEADING = range(6)
_ENDS_ALONE, _ENDS = frozenset("\u3002\uff01\uff1f\uff1b"), frozenset(".!?")


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text` lies at `start`; its first `repeated` characters end the chunk before. `page` counts from 1."""

    position: int
    start: int
    text: str
    repeated: int
    heading: str
    page: int | None


class _Pieces:
    """The text's word pieces, by where they begin, and how well it can be cut before each."""

    def __init__(self, text: str, headings: Collection[int]) -> None:
        self.starts = array("L")
        self.places = bytearray()
        before = ""
        for found in _PIECE.finditer(text):
            start = found.start()
            self.starts.append(start)
            self.places.append(_HEADING if start in headings else _place(before, found[0]))
            before = found[0]
        self.count = len(self.starts)
        self.starts.append(len(text))


def _place(before: str, piece: str) -> int:
    core = before.rstrip()
    blank = before[len(core) :]
    if "\n\n" in blank:
        return _PARAGRAPH
    if core in _ENDS_ALONE:
        return _SENTENCE
    if not blank or piece.isspace():
        return _INSIDE
    if core in _ENDS:
        return _SENTENCE
    return _LINE if "\n" in blank else _WORD


def chunks(text: Text) -> Iterator[Chunk]:
    """In order: each at most MOST_PIECES pieces, and all that is no blank in some.

    One that does not begin with a heading repeats the end of the one before, at most OVERLAP_PIECES of it.
    """
    offsets, under = [heading.offset for heading in text.headings], paths(text.headings)
    pieces = _Pieces(text.text, frozenset(offsets))
    begin = fresh = position = 0
    while fresh < pieces.count:
        end = _end(pieces, begin, fresh)
        start, new = pieces.starts[begin], pieces.starts[fresh]
        content = text.text[start : pieces.starts[end]]
        if content.strip():
            above = bisect_right(offsets, new)
            heading = under[above - 1] if above else ""
            yield Chunk(position, start, content, new - start, heading, bisect_right(text.pages, new) or None)
            position += 1
        fresh = end
        begin = end if end == pieces.count or pieces.places[end] == _HEADING else _overlap(pieces, end)


def _end(pieces: _Pieces, begin: int, fresh: int) -> int:
    """At a heading, where there is one and enough before it; else at the best place of the second half."""
    last = min(begin + MOST_PIECES, pieces.count)
    heading = pieces.places.find(_HEADING, max(begin + _LEAST_PIECES, fresh + 1), last + 1)
    if heading >= 0:
        return heading
    if last == pieces.count:
        return last
    least = max(begin + MOST_PIECES // 2, fresh + 1)
    for place in (_PARAGRAPH, _SENTENCE, _LINE, _WORD):
        if (at := pieces.places.rfind(place, least, last + 1)) >= 0:
            return at
    return last


def _overlap(pieces: _Pieces, end: int) -> int:
    """Where the next one begins: with a sentence, else with a word."""
    least = end - OVERLAP_PIECES
    for places in ((_PARAGRAPH, _SENTENCE), (_LINE, _WORD)):
        found = [at for place in places if (at := pieces.places.find(place, least, end)) >= 0]
        if found:
            return min(found)
    return least
