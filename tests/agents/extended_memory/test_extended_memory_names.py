"""How projects and tags are spelled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.agents.extended_memory._names import project_of, tags_of
from shared.errors import ToolError


@pytest.mark.parametrize(
    "said, meant",
    [
        *((None, "general"), ("", "general"), (" \n ", "general"), ("_-", "general"), ("general", "general")),
        *(("My_Project", "my project"), ("  SOME_PROJECT-NAME  ", "some project name"), ("a__b--c d", "a b c d")),
        *(("U\u0308ber", "\u00fcber"), ("日本語", "日本語"), ("a\tb\nc", "a b c"), ("../etc/passwd", "../etc/passwd")),
    ],
)
def test_a_project_has_one_spelling(said: str | None, meant: str) -> None:
    assert project_of(said) == meant


def test_tags_are_lower_case_each_once_and_sorted() -> None:
    assert tags_of(["B", " a ", "b", "", "  ", "U\u0308", "\u00fc", "two\nwords"]) == ("a", "b", "two words", "\u00fc")
    assert tags_of([]) == ()


@pytest.mark.parametrize("name", ["a\0b", "a\x1b[2Jb", "a\u202eb", "a\u200bb", "a\ud800b", "x" * 201])
def test_what_would_disguise_a_name_is_refused(name: str) -> None:
    with pytest.raises(ToolError, match="project_id"):
        project_of(name)
    with pytest.raises(ToolError, match="the tag"):
        tags_of(["fine", name])


@given(st.text(max_size=60))
def test_a_spelling_once_decided_stays_as_it_is(text: str) -> None:
    try:
        project, tags = project_of(text), tags_of([text])
    except ToolError:
        return
    assert project_of(project) == project
    assert tags_of(tags) == tags
    assert project.isprintable() and project.strip() == project and "_" not in project and "-" not in project
