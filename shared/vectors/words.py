"""A text's words, as rankings by words compare them: before stemming, in order, each as often as it is there."""

import re
import unicodedata
from collections.abc import Iterator

LONGEST = 64
_RUN = re.compile(r"[^\W_]+")
# `listHTTPHosts2` is also asked for as "list", "http", "hosts".
_PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
# Scripts that put nothing between words: Thai, Lao, Khmer, Kana, Han, Hangul.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f]+"
)


def words(text: str) -> list[str]:
    return [word[:LONGEST] for run in _RUN.findall(unicodedata.normalize("NFKC", text)) for word in _words(run)]


def _words(run: str) -> Iterator[str]:
    if run.isascii():
        parts = [run] if run.islower() else _PART.findall(run)
        if len(parts) > 1:
            yield run.casefold()
        yield from (part.casefold() for part in parts)
        return
    place = 0
    for unspaced in _UNSPACED.finditer(run):
        if place < unspaced.start():
            yield run[place : unspaced.start()].casefold()
        yield from _pairs(unspaced.group())
        place = unspaced.end()
    if place < len(run):
        yield run[place:].casefold()


def _pairs(run: str) -> Iterator[str]:
    """Of characters: whatever the words are, whoever looks for one has its pairs too."""
    if len(run) == 1:
        yield run
    for place in range(len(run) - 1):
        yield run[place : place + 2]
