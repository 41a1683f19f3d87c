"""From a page to the text that an action answers."""

import json
import re
from dataclasses import dataclass

from functions.agents.http_fetch._page import Page
from functions.agents.http_fetch._plain import plain_text
from shared.errors import ToolError
from shared.function import MIB
from shared.hypertext.charset import decoded
from shared.hypertext.markdown import Markdown
from shared.hypertext.tokens import Clock
from shared.hypertext.visible import Visible

_MOST_CHARACTERS = 5 * MIB
_TEXT = re.compile(
    r"text/.*|application/(?:.*[+-])?(?:json|xml|yaml|javascript|ecmascript|toml|sql|graphql|rtf)(?:-.*)?"
    r"|application/(?:x-ndjson|x-www-form-urlencoded|x-sh|xhtml\+xml)|image/svg\+xml|.+\+(?:xml|json|yaml)"
)
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_UNSAID = frozenset({"", "application/octet-stream", "binary/octet-stream", "unknown/unknown"})
_JSON = re.compile(r"(?:application|text)/json|.+\+json")
# Many an origin gives data for a text or for a program.
_PERHAPS_JSON = _UNSAID | {"text/plain", "application/javascript", "text/javascript"}
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*(?:<!--.{0,200}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
# Where a page says what it is about: worth believing where that is enough, and so much of all it says.
_SUBJECTS = (
    (frozenset({"main"}), re.compile(r"""<main[\s>]|role=["']?main""", re.IGNORECASE), 0.1),
    (frozenset({"article"}), re.compile(r"<article[\s>]", re.IGNORECASE), 0.5),
)
_LEAST_SUBJECT = 200
_HINT = "; fetch_html returns it as it is"


@dataclass(frozen=True, slots=True)
class Read:
    text: str
    charset: str
    title: str = ""


def media_type(page: Page) -> str:
    return page.content_type.partition(";")[0].strip().lower()


def is_html(page: Page) -> bool:
    kind = media_type(page)
    return kind in _HTML or (kind in _UNSAID and _LOOKS_LIKE_HTML.match(page.body[:1000]) is not None)


def as_it_is(page: Page) -> Read:
    """Raises ToolError where it is no text, as all that follow do."""
    kind = media_type(page)
    bare = b"\0" in page.body[:1024] and not page.body.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
    if (kind in _UNSAID and bare) or not (kind in _UNSAID or _TEXT.fullmatch(kind)):
        raise ToolError(
            f"{page.url!r} is no text but {kind or 'binary data'}, {len(page.body)} bytes; give a page's URL"
        )
    return Read(*decoded(page.body, page.content_type))


def as_text(page: Page) -> Read:
    source = as_it_is(page)
    if not is_html(page):
        return source
    visible = Visible(source.text, Clock(hint=_HINT))
    return Read(plain_text(visible, _MOST_CHARACTERS), source.charset, visible.title)


def as_markdown(page: Page) -> Read:
    source = as_it_is(page)
    return _markdown(page, source, Visible(source.text, Clock(hint=_HINT))) if is_html(page) else source


def as_article(page: Page) -> Read:
    """Markdown of what the page is about, without its navigation."""
    source = as_it_is(page)
    if not is_html(page):
        return source
    clock = Clock(hint=_HINT)
    every = None
    for only, marked, share in _SUBJECTS:
        if marked.search(source.text) is None:
            continue
        every = every or len(plain_text(Visible(source.text, clock, beside=True), _MOST_CHARACTERS))
        chosen = len(plain_text(Visible(source.text, clock, only=only, beside=True), _MOST_CHARACTERS))
        if chosen >= max(_LEAST_SUBJECT, every * share):
            return _markdown(page, source, Visible(source.text, clock, only=only, beside=True))
    read = _markdown(page, source, Visible(source.text, clock, beside=True))
    return read if read.text else _markdown(page, source, Visible(source.text, clock))


def _markdown(page: Page, source: Read, visible: Visible) -> Read:
    text = Markdown(page.url, visible, _MOST_CHARACTERS).written()
    return Read(text, source.charset, visible.title)


def as_json(page: Page) -> Read:
    """The parsed body, written without blanks."""
    kind = media_type(page)
    if not (_JSON.fullmatch(kind) or kind in _PERHAPS_JSON):
        raise ToolError(f"{page.url!r} is {kind}, no JSON; fetch_txt or fetch_markdown reads it")
    text, charset = decoded(page.body, page.content_type)
    try:
        value = json.loads(text, parse_constant=_no_constant)
        return Read(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")), charset)
    except RecursionError:
        raise ToolError(f"the JSON of {page.url!r} is nested too deeply; fetch_txt returns it as it is") from None
    except ValueError as exc:
        reason = (
            f"{exc.msg} at character {exc.pos}" if isinstance(exc, json.JSONDecodeError) else "a number is too large"
        )
        raise ToolError(f"{page.url!r} is no JSON: {reason}; fetch_txt returns it as it is") from None


def _no_constant(name: str) -> float:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)
