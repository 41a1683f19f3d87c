"""HTML of strangers as tokens: each character is looked at a bounded number of times, whatever is broken."""

import html
import re
import time
from collections.abc import Generator, Iterator, Mapping

from shared.errors import ToolError

# ("text", text, {}), ("start", name, attributes), ("end", name, {}).
Token = tuple[str, str, Mapping[str, str]]

PARSE_S = 5.0
_CHECKED_EVERY = 256
# Replacing in a long text takes fifty times its memory.
_PIECE, _REFERENCE = 64 * 1024, 40

# The content of these is text whatever it looks like, up to their end tag; of the first ones it is shown.
_SHOWN = ("title", "textarea")
_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE | re.ASCII)
    for name in (*_SHOWN, "script", "style", "xmp", "iframe", "noembed", "noframes")
}
_NAME = re.compile(r"[a-zA-Z][^\s/>]*+")
_COMMENT_END = re.compile(r"--!?>")
_ATTRIBUTE = re.compile(
    r"""[\s/]*+(?:(>)|(=[^\s/>=]*+|[^\s/>=]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|(?!["'])([^\s>]*+)))?+)"""
)
_UNCLOSED = re.compile(r"""\s*+=\s*+["']""")
# Longer numbers mean no character, and turning them into one takes its time.
_LONG_NUMBER = re.compile(r"&#(?:[0-9]{8,}+|[xX][0-9a-fA-F]{8,}+);?")
# In an attribute one without its end is none: `?a=1&copy=2` has two parameters.
_REFERENCE_WHOLE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_KEPT = frozenset({"alt", "aria-hidden", "class", "hidden", "href", "role", "src", "start", "style"})


class Clock:
    """Ends what nobody can end from outside: it counts the CPU time of the thread that it is made in."""

    def __init__(self, limit_s: float = PARSE_S, *, hint: str = "") -> None:
        self._hint = hint
        self._until = time.thread_time() + limit_s
        self._ticks = 0

    def tick(self) -> None:
        """Raises ToolError once the time is over."""
        self._ticks += 1
        if self._ticks % _CHECKED_EVERY == 0 and time.thread_time() > self._until:
            raise ToolError(f"the page is too tangled to be read in time{self._hint}")


def tokens(source: str, clock: Clock) -> Iterator[Token]:
    """As browsers read it; a tag or comment that is not closed swallows the rest."""
    at = 0
    while at < len(source):
        clock.tick()
        found = source.find("<", at)
        if found < 0:
            found = len(source)
        while at < found:
            end = _piece(source, at, found)
            yield "text", unescaped(source[at:end]), {}
            at = end
        if at < len(source):
            at = yield from _after_bracket(source, at, clock)


def _piece(source: str, at: int, end: int) -> int:
    """Where a part of a text ends that is not too long, and not amid a character reference."""
    if end - at <= _PIECE:
        return end
    reference = source.rfind("&", at + _PIECE - _REFERENCE, at + _PIECE)
    return reference if reference > at else at + _PIECE


def _after_bracket(source: str, at: int, clock: Clock) -> Generator[Token, None, int]:
    """What begins at a `<`; returns where it ends."""
    closing = source.startswith("/", at + 1)
    if named := _NAME.match(source, at + 1 + closing):
        return (yield from _tag(source, named, closing, clock))
    if source.startswith("<!--", at):
        ended = _COMMENT_END.search(source, at + 2)
        return ended.end() if ended else len(source)
    if source.startswith(("<!", "<?", "</"), at):
        end = source.find(">", at + 2)
        return end + 1 if end >= 0 else len(source)
    yield "text", "<", {}
    return at + 1


def _tag(source: str, named: "re.Match[str]", closing: bool, clock: Clock) -> Generator[Token, None, int]:
    name = named[0].lower()
    at, attributes = _attributes(source, named.end(), clock)
    if at < 0:
        return len(source)
    if closing:
        yield "end", name, {}
        return at
    yield "start", name, attributes
    if name not in _RAW:
        return at
    ended = _RAW[name].search(source, at)
    end = ended.start() if ended else len(source)
    if name in _SHOWN:
        yield "text", unescaped(source[at:end]), {}
    return end


def _attributes(source: str, at: int, clock: Clock) -> tuple[int, Mapping[str, str]]:
    """Where the tag ends, -1 where it does not; of two attributes with one name the first counts."""
    found: dict[str, str] = {}
    while matched := _ATTRIBUTE.match(source, at):
        clock.tick()
        end, name, *values = matched.groups()
        at = matched.end()
        if end:
            return at, found
        value = next((value for value in values if value is not None), None)
        if value is None and _UNCLOSED.match(source, at):
            break
        if (name := name.lower()) in _KEPT:
            found.setdefault(name, _REFERENCE_WHOLE.sub(_character, value or ""))
    return -1, found


def _character(reference: "re.Match[str]") -> str:
    return html.unescape(reference[0])


def unescaped(text: str) -> str:
    return html.unescape(_LONG_NUMBER.sub("\ufffd", text)) if "&" in text else text
