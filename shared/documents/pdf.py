"""The text of a PDF, page by page."""

import logging
from collections.abc import Iterable
from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from shared.documents.text import Text, cleaned, one_line
from shared.errors import ToolError

_MOST_PAGES = 5000
_BETWEEN = "\n\n"

# Its warnings quote what they stumble over.
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def read_pdf(content: bytes, *, most: int) -> Text:
    """Reads until there are more than `most` characters. Raises ToolError."""
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ToolError("the PDF is encrypted with a password; give one without")
        if len(reader.pages) > _MOST_PAGES:
            raise ToolError(f"the PDF has more than {_MOST_PAGES} pages; give it in parts")
        title = str((reader.metadata and reader.metadata.title) or "")
        return _joined((cleaned(page.extract_text()) for page in reader.pages), one_line(title), most)
    except (ToolError, MemoryError, RecursionError):
        raise
    except PyPdfError as exc:
        raise ToolError(f"the PDF cannot be read: {one_line(str(exc), 200)}") from exc
    except Exception as exc:
        # Of a file that is wrong in a way that the parser has not thought of, anything can come.
        raise ToolError(f"the PDF is broken, and cannot be read ({type(exc).__name__})") from exc


def _joined(found: Iterable[str], title: str, most: int) -> Text:
    parts: list[str] = []
    pages: list[int] = []
    size = 0
    for page in found:
        pages.append(size)
        if page:
            parts.append(page)
            size += len(page) + len(_BETWEEN)
        if size > most + len(_BETWEEN):
            break
    return Text(_BETWEEN.join(parts), title, pages=pages)
