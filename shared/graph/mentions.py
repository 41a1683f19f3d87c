"""What a document's text names: other documents, tasks and agents.

A document by its title, in whichever case, where that has two words and eight letters at least; a task or a document
by its id; an agent by its name where that is no word of everyday language, else beside the word `agent`.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from shared.graph.lineage import named_ids
from shared.ports.document_ties import Mention
from shared.ports.graph import MOST_MENTIONS, Kind, Ref

_WORD = re.compile(r"\w+")
_LEAST_WORDS, _LEAST_LETTERS = 2, 8
_Words = tuple[str, ...]


def is_telling(title: str) -> bool:
    """Whether it can be told from what anybody may write."""
    words = _words(title)
    return len(words) >= _LEAST_WORDS and sum(map(len, words)) >= _LEAST_LETTERS


class Titles:
    """To be looked for in texts; those that are not telling are passed over."""

    def __init__(self, titles: Mapping[UUID, str]) -> None:
        self._by_start: defaultdict[_Words, list[tuple[_Words, UUID]]] = defaultdict(list)
        for document_id, title in titles.items():
            if is_telling(title):
                words = _words(title)
                self._by_start[words[:_LEAST_WORDS]].append((words, document_id))

    def found_in(self, texts: Sequence[str]) -> dict[UUID, int]:
        """Each with the place of the first text that has it."""
        found: dict[UUID, int] = {}
        for position, text in enumerate(texts if self._by_start else ()):
            there = _words(text)
            for at in range(len(there) - _LEAST_WORDS + 1):
                for words, document_id in self._by_start.get(there[at : at + _LEAST_WORDS], ()):
                    if there[at : at + len(words)] == words:
                        found.setdefault(document_id, position)
        return found


def agents_in(texts: Sequence[str], names: Collection[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    patterns = {name: _agent(name) for name in names}
    for position, text in enumerate(texts):
        for name, pattern in patterns.items():
            if name not in found and pattern.search(text):
                found[name] = position
    return found


def ids_in(texts: Sequence[str]) -> dict[UUID, int]:
    found: dict[UUID, int] = {}
    for position, text in enumerate(texts):
        for one in named_ids(text):
            found.setdefault(one, position)
    return found


def first_of(found: Iterable[tuple[Ref, int]], *, but: Ref) -> list[Mention]:
    """In the order of the text, and no more than MOST_MENTIONS."""
    first: dict[Ref, int] = {}
    for ref, position in found:
        first[ref] = min(position, first.get(ref, position))
    first.pop(but, None)
    order = sorted(first, key=lambda ref: (first[ref], ref.kind, ref.id))
    return [Mention(ref, first[ref]) for ref in order[:MOST_MENTIONS]]


def as_refs(kind: Kind, found: Mapping[UUID, int] | Mapping[str, int]) -> list[tuple[Ref, int]]:
    return [(Ref(kind, str(name)), position) for name, position in found.items()]


def _words(text: str) -> _Words:
    return tuple(_WORD.findall(text.casefold()))


def _agent(name: str) -> re.Pattern[str]:
    quoted = re.escape(name)
    if "-" not in name:
        quoted = rf"(?:agent\s+[`'\"]?{quoted}|{quoted}[`'\"]?\s+agent)"
    return re.compile(rf"(?<![\w-]){quoted}(?![\w-])", re.IGNORECASE)
