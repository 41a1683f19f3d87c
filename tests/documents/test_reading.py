"""Files become text, and hostile ones an error that says what is wrong, in time and in little memory."""

import io
import resource
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from shared.documents.bounds import bounded
from shared.documents.formats import format_of
from shared.documents.reading import read
from shared.errors import ToolError
from tests.documents.files import CORE, W, docx, paragraph, pdf, zipped

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def locked(password: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["For nobody"]))))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


@pytest.mark.parametrize(
    "content, name, said, expected",
    [
        (b"plain", None, "", "text"),
        (b"# x", "a.MD", "", "markdown"),
        (b"# x", None, "text/markdown; charset=utf-8", "markdown"),
        (b"<p>x", "a.html", "", "html"),
        (b" <!-- x -->\n<!DOCTYPE html><p>x", "a.txt", "text/plain", "html"),
        (b"\n%PDF-1.7", "a.docx", "text/html", "pdf"),
        (docx(paragraph("x")), "a.pdf", "", "docx"),
        (zipped({"a": "b"}), "a.docx", "", None),
        (PNG, "a.txt", "text/plain", None),
        ("wide".encode("utf-16"), "a.txt", "", "text"),
    ],
)
def test_what_a_file_is_shows_in_its_bytes_first(
    content: bytes, name: str | None, said: str, expected: str | None
) -> None:
    assert format_of(content, file_name=name, media_type=said) == expected


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_text_is_read_in_whatever_it_is_encoded(charset: str) -> None:
    said = "Grüße aus Zürich, für jeden, der sie lesen möchte.\nUnd noch eine Zeile über Bücher."
    assert read(said.encode(charset)).text == said


def test_markdown_keeps_its_marks_and_tells_its_title() -> None:
    found = read(b"Intro\n\n## Part\n\n# Whole\n\n*x*", file_name="a.md")
    assert (found.text, found.title) == ("Intro\n\n## Part\n\n# Whole\n\n*x*", "Whole")


def test_html_is_read_as_it_is_seen_without_navigation() -> None:
    page = (
        b"<!doctype html><title>The &amp; page</title><nav>Home</nav><script>steal()</script><h1>One</h1>"
        b"<p>Seen<span hidden>not</span></p><h2>Two</h2><ul><li>a<li>b</ul>"
    )
    found = read(page)
    assert found.title == "The & page"
    assert found.text == "# One\n\nSeen\n\n## Two\n\n- a\n- b"
    assert [heading.title for heading in found.headings] == ["One", "Two"]


def test_a_pdf_is_read_page_by_page() -> None:
    found = read(pdf(["First page\nits second line", "", "Third"], title="Kept"))
    assert (found.text, found.title) == ("First page\nits second line\n\nThird", "Kept")
    assert list(found.pages) == [0, 28, 28]


def test_a_pdf_that_anybody_may_read_is_read() -> None:
    assert read(locked("")).text == "For nobody"


def test_a_word_file_is_read_with_headings_lists_and_tables() -> None:
    numbered = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    row = "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in ("left", "right"))
    inserted = (
        '<w:p><w:r><w:t xml:space="preserve">said </w:t><w:tab/></w:r>'
        "<w:del><w:r><w:delText>not</w:delText></w:r></w:del></w:p>"
    )
    body = (
        paragraph("Überblick", style="berschrift1")
        + inserted
        + paragraph("Teil", style="berschrift2")
        + paragraph("one", more=numbered)
        + paragraph("two & <more>", more=numbered)
        + f"<w:tbl><w:tr>{row}</w:tr></w:tbl>"
    )
    found = read(docx(body, parts={"docProps/core.xml": CORE}))
    assert found.text == "# Überblick\n\nsaid\n\n## Teil\n\n- one\n- two & <more>\nleft | right"
    assert found.title == "A report"
    assert [(each.level, each.title, found.text[each.offset :][:4]) for each in found.headings] == [
        (1, "Überblick", "# Üb"),
        (2, "Teil", "## T"),
    ]


def deep(levels: int) -> bytes:
    return docx("<w:p>" * levels + "<w:r><w:t>x</w:t></w:r>" + "</w:p>" * levels)


def entities() -> bytes:
    inner = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return declaring(f'<!ENTITY a0 "lol">{inner}', "&a9;")


def outside() -> bytes:
    return declaring('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;")


def declaring(entities: str, text: str) -> bytes:
    said = f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
    document = f'<!DOCTYPE x [{entities}]><w:document xmlns:w="{W}"><w:body>{said}</w:body></w:document>'
    return zipped({"word/document.xml": document})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing to read": (lambda: b" \n .,; \n", "no text"),
    "picture": (lambda: PNG, "none of the formats"),
    "archive": (lambda: zipped({"x.txt": "x"}), "none of the formats"),
    "pdf of pictures": (lambda: pdf(["", ""]), "OCR"),
    "pdf with a password": (lambda: locked("secret"), "password"),
    "pdf cut short": (lambda: pdf(["x" * 500] * 3)[:300], "PDF"),
    "pdf of noise": (lambda: b"%PDF-1.7\n" + bytes(range(256)) * 40, "PDF"),
    "pdf bomb": (lambda: pdf(["x"], content={0: bytes(200 << 20)}), "PDF"),
    "docx bomb": (lambda: zipped({"word/document.xml": bytes(80 << 20)}), "larger than"),
    "docx cut short": (lambda: docx(paragraph("x" * 500))[:-60], "broken archive"),
    "docx of other bytes": (lambda: _spoilt(docx(paragraph("some words of it " * 200))), "Word file"),
    "docx that is no xml": (lambda: docx("<w:p><w:r>"), "broken"),
    "docx nested deeply": (lambda: deep(5000), "deeper than"),
    "billion laughs": (entities, "document type"),
    "entity from outside": (outside, "document type"),
    "docx of many parts": (lambda: zipped({"word/document.xml": "", **{f"p{n}": "" for n in range(10_001)}}), "parts"),
    "docx without its document": (lambda: zipped({"x/word/document.xml": "x"}), "no word/document.xml"),
}


def _spoilt(content: bytes) -> bytes:
    at = content.index(b"word/document.xml") + 60
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 20]) + content[at + 20 :]


@pytest.mark.parametrize("make, message", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_ends_as_an_error_that_says_why(make: Callable[[], bytes], message: str) -> None:
    content = make()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(ToolError, match=message):
        read(content, file_name="x.docx")
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


def test_a_pdf_whose_pages_lead_in_a_circle_ends() -> None:
    circle = pdf(["x"]).replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")
    with pytest.raises(ToolError):
        read(circle)


def test_deeply_nested_html_is_read_all_the_same() -> None:
    assert "core" in read(b"<html>" + b"<div><b>" * 50_000 + b"core").text


def test_what_takes_too_long_is_ended_though_it_catches_everything() -> None:
    def stubborn() -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    with pytest.raises(ToolError, match=r"within 0\.2 s"), bounded(seconds=0.2):
        stubborn()


def test_what_takes_too_much_memory_is_ended() -> None:
    with pytest.raises(ToolError, match="memory"), bounded(size_bytes=64 << 20):
        bytearray(512 << 20)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", b"%PDF-1.4\n", b"PK\x03\x04", b"<html>", b"\xff\xfe"]))
def test_noise_is_text_or_a_tool_error(noise: bytes, head: bytes) -> None:
    try:
        found = read(head + noise)
    except ToolError:
        return
    assert "\0" not in found.text and found.text.encode()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_broken_files_are_text_or_a_tool_error(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([pdf(["Some words", "and more"]), docx(paragraph("Some words"))]))
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ToolError):
        assert read(bytes(broken)).text
