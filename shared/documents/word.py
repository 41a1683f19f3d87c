"""The XML of Word files, read in one pass by expat: without entities, and without depth."""

from collections.abc import Mapping
from typing import TypeVar
from xml.parsers.expat import ExpatError, ParserCreate, errors

from shared.documents.text import Heading, Text, cleaned, one_line
from shared.errors import ToolError

_DEEPEST = 256
_SPACES = (
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "http://purl.oclc.org/ooxml/wordprocessingml/main",
)
_PIECE_BYTES = 1 << 16


class Part:
    """What becomes of a part's elements: names are those of Word's own vocabulary, as are attributes'."""

    def start(self, name: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...


P = TypeVar("P", bound=Part)


def parsed(content: bytes | None, part: P) -> P:
    """Raises ToolError for what is not well-formed, is nested too deeply, or declares entities."""
    if content is None:
        return part
    parser = ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ToolError(f"the XML of the Word file is nested deeper than {_DEEPEST}")
        part.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        part.end(_local(name))

    def refuse(*_: object) -> None:
        raise ToolError("the XML of the Word file has a document type; Word writes none")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, part.text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        for at in range(0, len(content), _PIECE_BYTES):
            parser.Parse(content[at : at + _PIECE_BYTES], False)
        parser.Parse(b"", True)
    except ExpatError as exc:
        raise ToolError(
            f"the XML of the Word file is broken: {errors.messages[exc.code]} in line {exc.lineno}"
        ) from exc
    return part


def _local(name: str) -> str:
    """Without its namespace where that is Word's, and `dc:title`'s too; else nothing of ours."""
    space, _, local = name.rpartition(" ")
    if not space or space in _SPACES or space.endswith(("/elements/1.1/", "/markup-compatibility/2006")):
        return local
    return f"{space}:{local}"


class Styles(Part):
    """`names`: of styles, by their ids."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self._style = ""

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "style":
            self._style = attributes.get("styleId", "")
        elif name == "name" and self._style:
            self.names.setdefault(self._style, attributes.get("val", ""))


class Properties(Part):
    def __init__(self) -> None:
        self.title = ""
        self._inside = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._inside = name == "title"

    def end(self, name: str) -> None:
        self._inside = False

    def text(self, text: str) -> None:
        if self._inside:
            self.title += text


class Body(Part):
    """`levels`: of headings, by the ids of their styles. Paragraphs as they come, rows of tables as lines."""

    def __init__(self, levels: Mapping[str, int], most: int) -> None:
        self._levels = levels
        self._most = most
        self._size = 0
        self._parts: list[str] = []
        self._headings: list[Heading] = []
        self._paragraph: list[str] = []
        self._cells: list[list[str]] = []
        self._at = self._level = self._fallbacks = self._texts = 0
        self._listed = False

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        if name == "Fallback":
            # What older versions show in place of what came before it.
            self._fallbacks += 1
        elif name == "t":
            self._texts += 1
        elif name in ("tab", "ptab"):
            self._paragraph.append("\t")
        elif name in ("br", "cr"):
            self._paragraph.append("\n")
        elif name == "pStyle":
            self._level = self._levels.get(attributes.get("val", ""), 0)
        elif name == "outlineLvl":
            level = attributes.get("val", "")
            self._level = int(level) + 1 if level in ("0", "1", "2", "3", "4", "5") else self._level
        elif name == "numPr":
            self._listed = True
        elif name == "tr":
            self._cells.append([])

    def end(self, name: str) -> None:
        if name == "Fallback":
            self._fallbacks -= 1
        elif name == "t":
            self._texts -= 1
        elif name == "p":
            self._end_paragraph()
        elif name == "tr" and self._cells:
            cells = self._cells.pop()
            self._write(" | ".join(filter(None, cells)), "\n")

    def text(self, text: str) -> None:
        if self._texts and not self._fallbacks:
            self._paragraph.append(text)
            self._size += len(text)
            if self._size > 2 * self._most:
                raise ToolError(f"the document holds more than {self._most} characters; give it in parts")

    def _end_paragraph(self) -> None:
        text = cleaned("".join(self._paragraph)).strip()
        level, listed = self._level, self._listed
        self._paragraph.clear()
        self._level, self._listed = 0, False
        if not text:
            return
        if self._cells:
            self._cells[-1].append(" ".join(text.split()))
        elif level:
            self._write(f"{'#' * level} {one_line(text)}", "\n\n", level=level)
        else:
            self._write(f"- {text}" if listed else text, "\n" if listed else "\n\n")

    def _write(self, line: str, after: str, *, level: int = 0) -> None:
        if self._cells:
            self._cells[-1].append(line)
        elif line:
            if level:
                self._headings.append(Heading(self._at, level, line.lstrip("# ")))
            self._parts.append(line + after)
            self._at += len(line) + len(after)

    def written(self, title: str) -> Text:
        if not title and self._headings:
            title = min(self._headings, key=lambda heading: heading.level).title
        return Text("".join(self._parts).rstrip(), title, self._headings)
