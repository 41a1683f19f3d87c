"""Forms with files are read as their senders meant them, and refused where that cannot be known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, RootModel

from functions.documents._given import file_name_of
from shared.errors import Invalid
from shared.payload import File, Payload, Upload
from shared.upload import uploaded

FORM = "multipart/form-data; boundary=cut"


class Written(Payload):
    text: str
    count: int = 0


class Sent(Payload):
    file: File
    title: str = Field(default="", max_length=1000)


class Either(RootModel[Written | Sent]):
    pass


def part(name: str, content: bytes, *, more: str = "", kind: str = "") -> bytes:
    said = f"\r\nContent-Type: {kind}" if kind else ""
    return f'--cut\r\nContent-Disposition: form-data; name="{name}"{more}{said}\r\n\r\n'.encode() + content + b"\r\n"


def sent(*parts: bytes, end: bytes = b"--cut--\r\n", kind: str = FORM) -> Sent:
    payload, _ = uploaded(Either, kind, b"".join(parts) + end)
    assert isinstance(payload, Either) and isinstance(payload.root, Sent)
    return payload.root


FILE = part("file", b"content", more='; filename="a.txt"', kind="text/plain")


def test_json_is_read_as_json_and_may_hold_a_long_text() -> None:
    text = "x" * (1 << 20)
    payload, body = uploaded(Either, "application/json", b'{"text":"%s","count":2}' % text.encode())
    assert isinstance(payload, Either) and payload.root == Written(text=text, count=2)
    assert body.startswith(b'{"text"')


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_files_and_texts_come_as_they_were_sent(content: bytes, title: str) -> None:
    if b"--cut" in content or "--cut" in title:
        return
    found = sent(part("file", content, more='; filename="a.bin"', kind="x/y"), part("title", title.encode()[:900]))
    assert found.file == Upload("a.bin", "x/y", content)


def test_what_two_requests_share_does_not_depend_on_the_boundary() -> None:
    whole = FILE + part("title", b"t") + b"--cut--\r\n"
    one = uploaded(Either, FORM, whole)[1]
    other = uploaded(Either, "multipart/form-data; boundary=other", whole.replace(b"--cut", b"--other"))[1]
    changed = uploaded(Either, FORM, whole.replace(b"content", b"contenT"))[1]
    assert one == other != changed


@pytest.mark.parametrize(
    "body, kind, message",
    [
        (b"", FORM, "multipart"),
        (FILE, FORM, "cut short"),
        (FILE + b"--cut--", "multipart/form-data", "boundary"),
        (FILE + b"--cut--", f"multipart/form-data; boundary={'b' * 71}", "boundary"),
        (b"no form at all", FORM, "multipart"),
        (FILE + FILE + b"--cut--", FORM, "a name of its own"),
        (part("", b"x") + b"--cut--", FORM, "a name of its own"),
        (part("title", b"\xff") + b"--cut--", FORM, "multipart"),
        (part("title", b"a\0b") + b"--cut--", FORM, "NUL"),
        (part("title", b"x" * (300 << 10)) + b"--cut--", FORM, "send it as a file"),
        (b"".join(part(f"p{n}", b"x") for n in range(101)) + b"--cut--", FORM, "at most 100"),
        (part("file", b"x", more="".join(f"\r\nX-{n}: y" for n in range(20))) + b"--cut--", FORM, "multipart"),
        (part("title", b"x") + b"--cut--", FORM, "as declared"),
        (part("file", b"a text") + b"--cut--", FORM, "as declared"),
        (FILE + part("other", b"x") + b"--cut--", FORM, "as declared"),
        (b'{"text": 3}', "application/json", "as declared"),
        (b'{"file": "x"}', "application/json", "as declared"),
        (b"[]", "application/json", "no"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, kind: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        uploaded(Either, kind, body)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_noise_is_refused_or_read(noise: bytes) -> None:
    for body in (noise, FILE + noise, FILE + b"--cut\r\n" + noise + b"--cut--"):
        try:
            uploaded(Either, FORM, body)
        except Invalid:
            continue


@pytest.mark.parametrize(
    "name, expected",
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\notes.md", "notes.md"),
        ("a\r\nSet-Cookie: x.txt", "aSet-Cookie: x.txt"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        (" .hidden. ", "hidden"),
        ("x" * 400 + ".pdf", "x" * 180 + ".pdf"),
        ("..", None),
        ("", None),
        ("u\u0308ber.txt", "über.txt"),
    ],
)
def test_a_file_is_called_what_can_be_shown(name: str, expected: str | None) -> None:
    assert file_name_of(name) == expected
