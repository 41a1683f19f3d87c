"""What a file is, by what it begins with and what it is called: its sender's word counts least."""

import re
from typing import Literal

Format = Literal["text", "markdown", "html", "pdf", "docx"]

MEDIA_TYPES: dict[Format, str] = {
    "text": "text/plain",
    "markdown": "text/markdown",
    "html": "text/html",
    "pdf": "application/pdf",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
UNKNOWN = "application/octet-stream"
_SUFFIXES: dict[str, Format] = {
    **dict.fromkeys(("md", "markdown", "mdown", "mkd"), "markdown"),
    **dict.fromkeys(("htm", "html", "xhtml"), "html"),
}
_SAID: dict[str, Format] = {MEDIA_TYPES[kind]: kind for kind in ("markdown", "html")}
_HEAD_BYTES = 1024
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,400}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_NAMED = re.compile(r"\.([A-Za-z0-9]{1,8})$")


def format_of(content: bytes, *, file_name: str | None = None, media_type: str = "") -> Format | None:
    """None for what is none of these."""
    head = content[:_HEAD_BYTES]
    if b"%PDF-" in head:
        return "pdf"
    if head.startswith(b"PK\x03\x04"):
        # Where it is one, its parts are called so, and names stand in the open.
        return "docx" if b"word/document.xml" in content else None
    if b"\0" in head and not head.startswith(_WIDE):
        return None
    if _HTML.match(content[: 2 * _HEAD_BYTES]):
        return "html"
    suffix = _NAMED.search(file_name or "")
    named = _SUFFIXES.get(suffix[1].lower()) if suffix else None
    said = media_type.partition(";")[0].strip().lower()
    return named or next(
        (kind for kind, name in MEDIA_TYPES.items() if name == said and kind in ("markdown", "html")), "text"
    )


def media_type_of(content: bytes, *, file_name: str | None = None, media_type: str = "") -> str:
    found = format_of(content, file_name=file_name, media_type=media_type)
    return MEDIA_TYPES[found] if found else UNKNOWN
