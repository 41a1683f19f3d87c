"""A page as plain text: one line a block, cells apart by tabs."""

import re
from collections.abc import Iterable

from shared.hypertext.tokens import Token
from shared.hypertext.visible import BLOCKS, names

_BLANK = re.compile(r"[ \t\n\r\f\v]+")
_APART = names("article blockquote dl figure h1 h2 h3 h4 h5 h6 ol p pre section table ul")
_CELLS = frozenset({"td", "th"})


def plain_text(events: Iterable[Token], limit: int) -> str:
    """At most `limit` characters, roughly."""
    written = _Plain()
    for kind, text, _ in events:
        if kind == "text":
            written.text(text)
        elif text == "br":
            written.line()
        elif text == "pre":
            written.line(apart=True)
            written.verbatim += 1 if kind == "start" else -1
        elif text in _CELLS:
            written.cell(kind == "start")
        elif text in BLOCKS:
            written.line(apart=text in _APART)
        if written.size > limit:
            break
    written.line()
    return "\n".join(written.lines).strip("\n")


class _Plain:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0
        self.verbatim = 0
        self._parts: list[str] = []

    def text(self, text: str) -> None:
        self._parts.append(text if self.verbatim else _BLANK.sub(" ", text))
        self.size += len(text)

    def cell(self, starts: bool) -> None:
        if starts and any(part.strip() for part in self._parts):
            self._parts.append("\t")

    def line(self, *, apart: bool = False) -> None:
        text = "".join(self._parts)
        self._parts.clear()
        if self.verbatim:
            text = text.strip("\n")
        else:
            text = "\t".join(" ".join(cell.split()) for cell in text.split("\t")).strip()
        if text:
            self.lines.append(text)
            self.size += 1
        if apart and self.lines and self.lines[-1]:
            self.lines.append("")
