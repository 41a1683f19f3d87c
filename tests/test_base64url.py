"""Base64url: what was written is read again, and what nobody wrote is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import base64url


@given(st.binary())
def test_what_is_written_is_read_as_it_was(data: bytes) -> None:
    text = base64url.written(data)
    assert base64url.read(text) == data
    assert all(letter.isalnum() or letter in "-_" for letter in text) and text.isascii()


@given(st.text() | st.text("ABYZabyz019-_+/="))
def test_any_text_is_read_or_refused_and_what_is_read_is_written_so(text: str) -> None:
    try:
        data = base64url.read(text)
    except ValueError:
        return
    assert base64url.written(data) == text


@pytest.mark.parametrize(
    "data, text", [(b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"\xfb\xf0", "-_A")]
)
def test_it_is_spelled_as_the_standard_says(data: bytes, text: str) -> None:
    assert (base64url.written(data), base64url.read(text)) == (text, data)


@pytest.mark.parametrize("text", ["A", "Zg==", "Zg=", "Zh", "+/8", "Z g", "Zg\n", "Zm9v!", "é", "\ud800"])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|padding|ASCII"):
        base64url.read(text)
