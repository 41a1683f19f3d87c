"""What projects and files may be called."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.agents.memory_bank._names import MAX_NAME_BYTES, file_of, name_of, project_of
from shared.errors import ToolError

HOSTILE = [
    *("", ".", "..", "...", "../x", "x/..", "a/b", "/", "/etc/passwd", "a\\b", "..\\x", "C:", "C:\\x", "x:y"),
    *("~", "~root", ".git", ".ssh", ".hidden", "x.", " x", "x ", "a  b", "x..md", "a\0b", "a\nb", "a\rb", "a\tb"),
    *("%2e%2e%2f", "..%2f", "a%00", "a*b", "a?b", "a|b", "a<b", 'a"b', "a'b", "$HOME", "`x`", "a;b", "a&b", "{a}"),
    # Slashes, dots and blanks in other spellings: fullwidth, one dot leader, two dot leader, division, fraction.
    *("\uff0e\uff0e\uff0fx", "a\uff0fb", "a\uff3cb", "\u2025", "\u2024\u2024", "a\u2215b", "a\u2044b", "a\u29f8b"),
    *("\u00a0x", "x\u3000", "a\u2028b", "a\u200bb", "a\u202eb", "a\u2066b", "\ufeffa", "a\u00adb", "a\ufe0fb"),
    *("a\u3164", "\u115fa", "a\u034fb", "\u0301a", "a\ue000b", "a\ud800b", "a\uffffb", "a\U000e0041b", "a\U000e0101"),
    *("a" * (MAX_NAME_BYTES + 1), "\u00e9" * 128, "\ufdfa" * 20, "a" * 1_000_000),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_is_refused_with_words_and_not_repeated_at_length(name: str) -> None:
    with pytest.raises(ToolError) as refused:
        file_of(name)
    assert refused.value.message.startswith("fileName ")
    assert len(refused.value.message) < 2000


@pytest.mark.parametrize(
    "name",
    [
        *(
            "projectbrief.md",
            "my_project-2",
            "-x",
            "_x",
            "a.b.c",
            "1",
            "Projekt Über",
            "日本語.md",
            "заметки",
            "हिन्दी.md",
        ),
        *("a" * MAX_NAME_BYTES, "con", "GIT~1".replace("~", "-")),
    ],
)
def test_a_plain_name_is_kept_as_it_is(name: str) -> None:
    assert project_of(name) == name


def test_other_spellings_of_a_name_are_the_same_name() -> None:
    assert name_of("U\u0308ber.md", "fileName") == name_of("\u00dcber.md", "fileName") == "\u00dcber.md"
    assert name_of("\uff41\uff42.md", "fileName") == "ab.md"
    assert name_of("a.md", "fileName") != name_of("A.md", "fileName")


_NEAR = st.text(
    st.sampled_from("aZ09._- /\\:~%\0\n\u0301\u00e9\uff0e\uff0f\u2024\u2025\u2215\u202e\u3164\u00a0"), max_size=12
)


@given(st.one_of(st.text(max_size=40), _NEAR, st.text(min_size=200, max_size=300)))
def test_whatever_is_accepted_is_one_plain_bounded_name_in_one_spelling(text: str) -> None:
    try:
        name = name_of(text, "fileName")
    except ToolError:
        return
    assert name_of(name, "fileName") == name == unicodedata.normalize("NFKC", name)
    assert 0 < len(name.encode()) <= MAX_NAME_BYTES
    assert ".." not in name and name.strip(" .") == name
    assert all(
        character in "_-. " or character.isalnum() or unicodedata.category(character)[0] in "MN" for character in name
    )
    assert name.isprintable()


@given(st.text(max_size=20), st.sampled_from("/\\\0\n\r\u2028\u202e\uff0f\uff3c"), st.text(max_size=20))
def test_no_separator_or_control_character_is_ever_accepted(before: str, evil: str, after: str) -> None:
    with pytest.raises(ToolError):
        name_of(before + evil + after, "fileName")


@given(st.from_regex(r"[a-zA-Z0-9_-]([a-zA-Z0-9_-]|\.(?=[a-zA-Z0-9_-])){0,60}", fullmatch=True))
def test_every_name_of_ascii_letters_digits_and_single_dots_is_accepted(name: str) -> None:
    assert name_of(name, "fileName") == name
