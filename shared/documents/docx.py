"""The text of a Word file: a zip archive of XML, of which three parts are read."""

import re
import zlib
from io import BytesIO
from zipfile import BadZipFile, ZipFile

from shared.documents.text import Text, one_line
from shared.documents.word import Body, Properties, Styles, parsed
from shared.errors import ToolError
from shared.function import MIB

_MOST_PARTS = 10_000
_PART_BYTES, _SMALL_BYTES = 64 * MIB, 4 * MIB
_HEADING = re.compile(r"heading (\d)$")


def read_docx(content: bytes, *, most: int) -> Text:
    """Raises ToolError."""
    try:
        with ZipFile(BytesIO(content)) as archive:
            if len(archive.infolist()) > _MOST_PARTS:
                raise ToolError(f"the Word file has more than {_MOST_PARTS} parts")
            styles = parsed(_part(archive, "word/styles.xml", _SMALL_BYTES), Styles())
            title = parsed(_part(archive, "docProps/core.xml", _SMALL_BYTES), Properties()).title
            document = _part(archive, "word/document.xml", _PART_BYTES)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as exc:
        raise ToolError(f"the Word file is a broken archive: {one_line(str(exc), 200)}") from exc
    except RuntimeError:
        raise ToolError("the Word file is encrypted; give one without a password") from None
    if document is None:
        raise ToolError("the archive is no Word file: it has no word/document.xml")
    body = parsed(document, Body({name: _level(style) for name, style in styles.names.items()}, most))
    return body.written(one_line(title))


def _part(archive: ZipFile, name: str, most: int) -> bytes | None:
    """What the archive says of sizes need not be true, so it is read no further than that."""
    try:
        part = archive.open(name)
    except KeyError:
        return None
    with part:
        content = part.read(most + 1)
    if len(content) > most:
        raise ToolError(f"{name} of the Word file is larger than {most} bytes when it is unpacked")
    return content


def _level(style: str) -> int:
    """0 for what is no heading. Styles have their English names in every language."""
    lowered = style.lower()
    if lowered == "title":
        return 1
    found = _HEADING.match(lowered)
    return min(int(found[1]), 6) if found else 0
