"""Text of others stays text: nothing in it becomes a link, an image, or a heading of ours."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ui.components.snippets import curl, python
from ui.components.text import ago, exact, lasting, plain, without_images, worded


@given(st.text())
@example("![x](http://example.org/a.png)")
@example("# heading\n:red[x] :material/home: $x$ <b>")
@example("\\![x](y)")
def test_plain_text_holds_no_character_that_markdown_knows_unescaped(text: str) -> None:
    shown = plain(text)
    left = shown.replace("\\\\", "")
    for number, character in enumerate(left):
        if character in "`*_{}[]()<>#!|~$:":
            assert left[number - 1] == "\\", shown
    assert "\n" not in shown


@given(st.text(alphabet="!\\[]()ab \n`<>"))
def test_no_image_is_left_in_markdown(text: str) -> None:
    assert "![" not in without_images(text)
    assert without_images(text).replace("\u2060", "") == text.replace("\u2060", "")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Take `duration` seconds.", "Take `duration` seconds\\."),
        ("one ` alone", "one \\` alone"),
        ("`![a](b)`", "`![a](b)`"),
        ("``x``", "x"),
    ],
)
def test_code_stays_code_in_descriptions(text: str, shown: str) -> None:
    assert worded(text) == shown


NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "seconds, words",
    [
        (-3, "just now"),
        (0.5, "just now"),
        (42, "42 s ago"),
        (180, "3 min ago"),
        (7300, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_times_are_told_as_one_would_say_them(seconds: float, words: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize("milliseconds, words", [(9.4, "9 ms"), (4012, "4.0 s"), (61_000, "1 min")])
def test_spans_are_told_in_units_that_fit(milliseconds: float, words: str) -> None:
    assert lasting(milliseconds) == words


def test_exact_times_are_utc() -> None:
    assert exact(NOW.replace(microsecond=7000)) == "2030-01-02 03:04:05.007 UTC"


def test_a_call_is_copied_with_nothing_that_a_shell_would_take_for_its_own() -> None:
    text = curl("http://127.0.0.1:10008", "everything", "echo", {"message": "it's `$(x)`"})
    assert text.splitlines()[-1] == (
        '  -d \'{"agent_id": "everything", "task": "echo", "parameters": {"message": '
        '"it\'"\'"\'s `$(x)`"}, "wait": true}\''
    )


def test_a_call_is_copied_as_a_program_that_compiles() -> None:
    text = python("http://127.0.0.1:10008", "everything", "echo", {"message": "a\n'b' \\", "n": None})
    assert compile(text, "copied", "exec")
    assert "'http://127.0.0.1:10008/api/v1/agents/execute'" in text
