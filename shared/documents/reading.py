"""From a file's bytes to its text."""

from shared.documents.bounds import bounded
from shared.documents.formats import Format, format_of
from shared.documents.text import Text, cleaned, markdown, one_line
from shared.errors import ToolError
from shared.function import MIB

MOST_CHARACTERS = 10 * MIB


def read(content: bytes, *, file_name: str | None = None, media_type: str = "") -> Text:
    """Raises ToolError for what cannot be read, or holds no text."""
    kind = format_of(content, file_name=file_name, media_type=media_type)
    if kind is None:
        raise ToolError("this is none of the formats that can be read: text, Markdown, HTML, PDF and DOCX")
    with bounded():
        found = _read(kind, content)
    if not any(map(str.isalnum, found.text)):
        raise ToolError(
            "there is no text in the document; where its pages are pictures, recognise their text first (OCR)"
        )
    if len(found.text) > MOST_CHARACTERS:
        raise ToolError(f"the document holds more than {MOST_CHARACTERS} characters; give it in parts")
    return found


def _read(kind: Format, content: bytes) -> Text:
    match kind:
        case "pdf":
            from shared.documents.pdf import read_pdf

            return read_pdf(content, most=MOST_CHARACTERS)
        case "docx":
            from shared.documents.docx import read_docx

            return read_docx(content, most=MOST_CHARACTERS)
        case "html":
            return _html(content)
        case "markdown":
            return markdown(_decoded(content))
        case "text":
            return Text(cleaned(_decoded(content)))


def _decoded(content: bytes, said: str = "text/plain") -> str:
    from shared.hypertext.charset import decoded

    return decoded(content, said)[0]


def _html(content: bytes) -> Text:
    from shared.hypertext.markdown import Markdown
    from shared.hypertext.tokens import Clock
    from shared.hypertext.visible import Visible

    # Navigation leads elsewhere, and is the same on every page of its place.
    source = _decoded(content, "text/html")
    for beside in (True, False):
        page = Visible(source, Clock(), beside=beside)
        written = Markdown("", page, MOST_CHARACTERS).written()
        if written.strip():
            return markdown(written, title=one_line(page.title))
    return Text("")
