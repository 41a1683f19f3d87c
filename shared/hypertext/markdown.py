"""A page as Markdown, written in one pass without recursion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.hypertext.links import absolute
from shared.hypertext.tables import Table
from shared.hypertext.visible import BLOCKS, VOID, Visible

_BLANK = re.compile(r"[ \t\n\r\f\v]+")
_SPECIAL = re.compile(r"[\\`*]|(?<!\w)_|_(?!\w)|<(?=[a-zA-Z/!])|(?<=\])\(")
_LINE_START = re.compile(r"(?m)^(#{1,6}(?= )|>|[+-](?= )|~~~|---|===)|^(\d{1,9})([.)])(?= )")
_LANGUAGE = re.compile(r"(?:^|\s)lang(?:uage)?-([A-Za-z0-9+#._-]{1,30})")
_TICKS = re.compile("`+")
_INLINE = {
    **dict.fromkeys(("strong", "b"), "**"),
    **dict.fromkeys(("em", "i", "cite", "dfn", "var"), "*"),
    **dict.fromkeys(("del", "s", "strike"), "~~"),
    **dict.fromkeys(("code", "kbd", "samp", "tt"), "`"),
    "a": "a",
}
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
# Deeper ones keep their text: each level costs another copy of it.
_DEEPEST_INLINE, _DEEPEST_BLOCK = 8, 12


@dataclass(slots=True)
class _Inline:
    mark: str
    target: str | None
    begins: int


@dataclass(slots=True)
class _Prefix:
    """What stands before the lines of a quote or a list's item."""

    first: str
    rest: str
    used: bool = False


@dataclass(slots=True)
class _List:
    number: int | None


@dataclass(slots=True)
class Markdown:
    """What links are relative to is the page's `url`, or what the page says; about `limit` characters are written."""

    url: str
    page: Visible
    limit: int
    size: int = 0
    _lines: list[str] = field(default_factory=list)
    _parts: list[str] = field(default_factory=list)
    _inline: list[_Inline] = field(default_factory=list)
    _prefixes: list[_Prefix] = field(default_factory=list)
    _lists: list[_List] = field(default_factory=list)
    _tables: list[Table] = field(default_factory=list)
    _undo: list[str] = field(default_factory=list)
    _pre: list[str] | None = None
    _language: str = ""
    _heading: str = ""
    _in_list: bool = False

    def written(self) -> str:
        for kind, text, attributes in self.page:
            if kind == "text":
                self._text(text)
            elif kind == "start":
                self._start(text, attributes)
            else:
                self._end(text)
            if self.size > self.limit:
                break
        self._flush()
        return "\n".join(self._lines)

    def _text(self, text: str) -> None:
        self.size += len(text)
        if self._pre is not None:
            self._pre.append(text)
            return
        text = _BLANK.sub(" ", text)
        if not any(inline.mark == "`" for inline in self._inline):
            text = _SPECIAL.sub(r"\\\g<0>", text)
        self._parts.append(text)

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        done = ""
        if self._pre is not None:
            self._in_pre(name, attributes)
        elif name == "br":
            self._parts.append("  \n")
        elif name == "img":
            self._image(attributes)
        elif name in _INLINE:
            done = self._begin_inline(name, attributes)
        elif name in BLOCKS:
            self._flush()
            done = self._begin_block(name, attributes)
        if name not in VOID:
            self._undo.append(done)

    def _end(self, name: str) -> None:
        done = self._undo.pop()
        if done == "inline":
            self._end_inline()
        elif done == "pre":
            self._end_pre()
        elif self._pre is not None:
            return
        elif name in BLOCKS:
            self._flush()
            self._end_block(name, done)

    def _begin_inline(self, name: str, attributes: Mapping[str, str]) -> str:
        mark = _INLINE[name]
        target = self._absolute(attributes.get("href", "")) if mark == "a" else None
        doubled = any(inline.mark == mark for inline in self._inline)
        if doubled or len(self._inline) >= _DEEPEST_INLINE or (mark == "a" and target is None):
            return ""
        self._inline.append(_Inline(mark, target, len(self._parts)))
        return "inline"

    def _end_inline(self) -> None:
        inline = self._inline.pop()
        self._parts[inline.begins :] = [_wrapped(inline, "".join(self._parts[inline.begins :]))]

    def _image(self, attributes: Mapping[str, str]) -> None:
        alternative = " ".join(attributes.get("alt", "").split())
        source = self._absolute(attributes.get("src", ""))
        alternative = _SPECIAL.sub(r"\\\g<0>", alternative).replace("[", "\\[").replace("]", "\\]")
        self._parts.append(f"![{alternative}]({source})" if source else alternative)

    def _absolute(self, link: str) -> str | None:
        base = absolute(self.url, self.page.base) if self.page.base else None
        return absolute(base or self.url, link)

    def _begin_block(self, name: str, attributes: Mapping[str, str]) -> str:
        if name == "pre":
            self._pre, self._language = [], _language(attributes)
            return "pre"
        if name in _HEADINGS:
            self._heading = _HEADINGS[name]
        elif name == "hr":
            self._write(["---"])
        elif name in ("ul", "ol", "menu", "dir"):
            start = attributes.get("start", "")
            number = int(start) if start.isascii() and start.isdigit() and len(start) < 9 else 1
            self._lists.append(_List(number if name == "ol" else None))
        elif name in ("li", "blockquote", "dd"):
            return self._begin_prefix(name)
        elif name in ("table", "tr", "td", "th"):
            self._begin_table(name)
        return ""

    def _begin_prefix(self, name: str) -> str:
        if len(self._prefixes) >= _DEEPEST_BLOCK:
            return ""
        marker = {"blockquote": "> ", "dd": ": ", "li": "- "}[name]
        if name == "li" and self._lists and (number := self._lists[-1].number) is not None:
            marker = f"{number}. "
            self._lists[-1].number = number + 1
        self._prefixes.append(_Prefix(marker, marker if name == "blockquote" else " " * len(marker)))
        return "prefix"

    def _end_block(self, name: str, done: str) -> None:
        if done == "prefix":
            self._prefixes.pop()
        elif name in _HEADINGS:
            self._heading = ""
        elif name in ("ul", "ol", "menu", "dir"):
            self._lists.pop()
            self._in_list = bool(self._lists)
        elif self._tables and name in ("table", "tr", "td", "th"):
            self._tables[-1].end(name)
            if name == "table":
                self._write(self._tables.pop().lines())

    def _begin_table(self, name: str) -> None:
        if name == "table":
            # A table that holds another one only lays out the page.
            for table in self._tables:
                self._write(table.dissolved())
            self._tables.append(Table())
        elif self._tables:
            self._tables[-1].begin(name)

    def _in_pre(self, name: str, attributes: Mapping[str, str]) -> None:
        assert self._pre is not None
        if name == "br":
            self._pre.append("\n")
        elif name == "code" and not self._language:
            self._language = _language(attributes)

    def _end_pre(self) -> None:
        assert self._pre is not None
        code = "".join(self._pre).replace("\r\n", "\n").strip("\n").rstrip()
        self._pre = None
        if code:
            fence = _ticks(code, least=3)
            self._write([f"{fence}{self._language}", *code.split("\n"), fence])

    def _flush(self) -> None:
        """Ends a paragraph. Marks that are open go on in the next one."""
        for inline in reversed(self._inline):
            self._parts[inline.begins :] = [_wrapped(inline, "".join(self._parts[inline.begins :]))]
            inline.begins = 0
        if not self._parts:
            return
        lines = [_BLANK.sub(" ", line).strip() for line in "".join(self._parts).split("  \n")]
        self._parts.clear()
        if not any(lines):
            return
        if self._heading:
            self._write([self._heading + " ".join(filter(None, lines))])
        else:
            text = "  \n".join(line for line in lines if line)
            self._write(_LINE_START.sub(_escaped_start, text).split("\n"))

    def _write(self, lines: list[str]) -> None:
        if not lines:
            return
        if self._tables and self._tables[-1].takes(lines):
            return
        first = self._prefixes[-1:] and not self._prefixes[-1].used
        if self._lines and not (first and self._in_list and self._lists):
            self._lines.append("".join(prefix.rest for prefix in self._prefixes if prefix.used).rstrip())
        for line in lines:
            before = "".join(prefix.rest if prefix.used else prefix.first for prefix in self._prefixes)
            for prefix in self._prefixes:
                prefix.used = True
            self._lines.append((before + line) if line else before.rstrip())
            self.size += len(before) + 1
        self._in_list = bool(self._lists)


def _wrapped(inline: _Inline, text: str) -> str:
    core = text.strip()
    if not core:
        return text
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    if inline.target is not None:
        return f"{before}[{core.replace('  ' + chr(10), ' ')}]({inline.target}){after}"
    if inline.mark != "`":
        return f"{before}{inline.mark}{core}{inline.mark}{after}"
    ticks = _ticks(core, least=1)
    blank = " " if core[0] == "`" or core[-1] == "`" else ""
    return f"{before}{ticks}{blank}{core}{blank}{ticks}{after}"


def _ticks(text: str, *, least: int) -> str:
    """A fence that the text does not hold."""
    return "`" * max(least, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))


def _language(attributes: Mapping[str, str]) -> str:
    found = _LANGUAGE.search(attributes.get("class", "")[:1000])
    return found[1] if found else ""


def _escaped_start(found: "re.Match[str]") -> str:
    return f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}"
