"""What a person would see of a page: elements in balance, without scripts and what is hidden."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from shared.hypertext.tokens import Clock, Token, tokens


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VOID = names("area base br col embed hr img input link meta param source track wbr")
BLOCKS = names(
    "address article aside blockquote body center dd details dialog dir div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main menu nav ol "
    "option p pre search section summary table tbody td tfoot th thead title tr ul"
)
BESIDE = frozenset({"nav", "footer", "aside"})
_BESIDE_ROLES = frozenset({"navigation", "contentinfo", "complementary", "search"})

_UNSEEN = names(
    "audio canvas datalist embed iframe math noembed noframes object script style svg template title video xmp"
)
_HIDING = re.compile(
    r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)"
    r"|(?:opacity|font-size|max-height)\s*:\s*0(?:\.0*)?(?:%|px|r?em|pt)?\s*(?:;|!|$))",
    re.IGNORECASE,
)
_MOST_STYLE = 2000
# Browsers stop nesting at 512.
_DEEPEST = 256

# A start tag ends what is open of the first names, unless one of the others lies between.
_CELL = frozenset({"td", "th"})
_EDGES = frozenset({"table", "td", "th", "caption", "button"})
_ENDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    **{
        name: (frozenset({"p"}), _EDGES)
        for name in BLOCKS - {"option", "title", "tbody", "thead", "tfoot", "tr", *_CELL}
    },
    "li": (frozenset({"p", "li"}), _EDGES | {"ul", "ol", "menu", "dir"}),
    "dd": (frozenset({"p", "dd", "dt"}), _EDGES | {"dl"}),
    "dt": (frozenset({"p", "dd", "dt"}), _EDGES | {"dl"}),
    "td": (frozenset({"td", "th"}), frozenset({"table"})),
    "th": (frozenset({"td", "th"}), frozenset({"table"})),
    "tr": (frozenset({"tr", "td", "th"}), frozenset({"table"})),
    **{
        name: (frozenset({"thead", "tbody", "tfoot", "tr", "td", "th"}), frozenset({"table"}))
        for name in ("tbody", "thead", "tfoot")
    },
    "option": (frozenset({"option"}), frozenset({"select"})),
    "a": (frozenset({"a"}), _EDGES),
}


@dataclass(frozen=True, slots=True)
class _Open:
    name: str
    shown: bool
    hidden: bool
    chosen: bool


@dataclass(slots=True)
class Visible:
    """One reading. `only`: nothing but what lies in elements of these names (`main` by its role, too).

    `beside`: whether navigation and the like is left out. `base` and `title` are known once all was read.
    """

    source: str
    clock: Clock
    only: frozenset[str] = frozenset()
    beside: bool = False
    base: str = ""
    title: str = ""
    _stack: list[_Open] = field(default_factory=list)
    _names: Counter[str] = field(default_factory=Counter)
    _hidden: int = 0
    _chosen: int = 0
    _flat: int = 0

    def __iter__(self) -> Iterator[Token]:
        """Each start that is no void element has its end, and they nest."""
        for kind, text, attributes in tokens(self.source, self.clock):
            if kind == "text":
                if not self.title and self._stack and self._stack[-1].name == "title":
                    self.title = " ".join(text.split())
                if self._seen:
                    yield kind, text, attributes
            elif kind == "start":
                yield from self._start(text, attributes)
            else:
                yield from self._end(text)
        while self._stack:
            yield from self._pop()

    @property
    def _seen(self) -> bool:
        return not self._hidden and (not self.only or self._chosen > 0)

    def _start(self, name: str, attributes: Mapping[str, str]) -> Iterator[Token]:
        if name == "base" and not self.base:
            self.base = attributes.get("href", "")
        if name in _ENDS:
            yield from self._imply(*_ENDS[name])
        hidden = self._is_hidden(name, attributes)
        if name in VOID:
            if self._seen and not hidden:
                yield "start", name, attributes
            return
        if len(self._stack) >= _DEEPEST and (self._hidden or not hidden):
            self._flat += 1
            return
        chosen = name in self.only or ("main" in self.only and attributes.get("role", "") == "main")
        self._hidden += hidden
        self._chosen += chosen
        self._names[name] += 1
        self._stack.append(_Open(name, self._seen, hidden, chosen))
        if self._seen:
            yield "start", name, attributes

    def _end(self, name: str) -> Iterator[Token]:
        if name in VOID or not self._names[name]:
            return
        if self._flat:
            self._flat -= 1
            return
        # An end tag inside a cell does not end what lies around its table.
        if name not in _EDGES and any(self._names[edge] for edge in _CELL) and not self._within_cell(name):
            return
        while self._stack[-1].name != name:
            yield from self._pop()
        yield from self._pop()

    def _within_cell(self, name: str) -> bool:
        for element in reversed(self._stack):
            if element.name == name:
                return True
            if element.name in _CELL and name not in ("tr", "tbody", "thead", "tfoot", "body", "html"):
                return False
        return False

    def _imply(self, closed: frozenset[str], edges: frozenset[str]) -> Iterator[Token]:
        if not any(self._names[name] for name in closed):
            return
        outermost = None
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index].name in closed:
                outermost = index
            elif self._stack[index].name in edges:
                break
        while outermost is not None and len(self._stack) > outermost:
            yield from self._pop()

    def _pop(self) -> Iterator[Token]:
        element = self._stack.pop()
        self._names[element.name] -= 1
        if element.shown:
            yield "end", element.name, {}
        self._hidden -= element.hidden
        self._chosen -= element.chosen

    def _is_hidden(self, name: str, attributes: Mapping[str, str]) -> bool:
        if name in _UNSEEN or "hidden" in attributes or attributes.get("aria-hidden", "").strip().lower() == "true":
            return True
        if self.beside and (name in BESIDE or attributes.get("role", "") in _BESIDE_ROLES):
            return True
        style = attributes.get("style")
        return style is not None and _HIDING.search(style[:_MOST_STYLE]) is not None
