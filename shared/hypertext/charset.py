"""Bytes to text: by what the page says of itself, else by what they look like."""

import codecs
import re

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_PARAMETER = re.compile(r"""(?i);\s*charset\s*=\s*["']?\s*([a-z0-9_:.+-]{1,40})""")
_META = re.compile(rb"""(?i)<meta\s[^>]{0,500}?charset\s*=\s*["']?\s*([a-z0-9_:.+-]{1,40})""")
_XML = re.compile(rb"""<\?xml\s[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9_:.+-]{1,40})""")
# Python has more codecs than these, and with some a page could be made to take hours or to become another one.
_KNOWN = re.compile(
    r"utf-(?:8|16|32)(?:-[bl]e)?|ascii|iso8859-[0-9]+|iso2022_[a-z0-9_]+|cp[0-9]+|koi8-[rtu]|mac-[a-z0-9-]+"
    r"|gb(?:2312|k|18030)|big5(?:hkscs)?|euc_[a-z0-9_]+|shift_jis[x0-9_]*|johab|hz|tis-620|kz1048|ptcp154"
)
_HEAD_BYTES, _SAMPLE_BYTES = 4096, 32 * 1024


def decoded(body: bytes, content_type: str) -> tuple[str, str]:
    """The text and the name of its charset; what cannot be read is replaced."""
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(charset, errors="replace"), charset
    head = body[:_HEAD_BYTES] if not content_type or "ml" in content_type.lower() else b""
    for said in (_PARAMETER.search(content_type), _META.search(head), _XML.search(head)):
        name = said[1] if said else ""
        charset_said = _codec(name.decode() if isinstance(name, bytes) else name)
        # A page that could be read up to here is not in two or four bytes a character.
        if charset_said and not (isinstance(name, bytes) and charset_said.startswith(("utf-16", "utf-32"))):
            return body.decode(charset_said, errors="replace"), charset_said
    try:
        return body.decode(), "utf-8"
    except UnicodeDecodeError:
        charset = _guessed(body[:_SAMPLE_BYTES])
        return body.decode(charset, errors="replace"), charset


def _codec(name: str) -> str | None:
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    if not _KNOWN.fullmatch(known):
        return None
    # As browsers do: hardly a page that says so means it.
    return "cp1252" if known in ("ascii", "iso8859-1") else known


def _guessed(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return (best and _codec(best.encoding)) or "cp1252"
