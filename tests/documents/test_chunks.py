"""A text is cut so that nothing is lost, nothing is too long, and what belongs together stays so where it can."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents.chunks import _PIECE, MOST_CHARACTERS, MOST_PIECES, OVERLAP_PIECES, Chunk, chunks
from shared.documents.text import Heading, Text, cleaned, markdown, paths

WORDS = st.sampled_from(
    ["a", "index", "of", "vectors.", "Begins", "über", "表示する。", "\n\n", "\n", "  ", "# Part", "x" * 70]
)
TEXTS = st.one_of(
    st.text(max_size=3000),
    st.lists(WORDS, max_size=900).map(" ".join),
    st.lists(st.text(max_size=60), max_size=40).map("\n# ".join),
    st.characters(exclude_categories=["Cs", "Cc"]).map(lambda one: one * 1500),
)


def pieces(text: str) -> int:
    return len(_PIECE.findall(text))


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_all_that_is_no_blank_is_in_some_chunk_and_none_is_too_long(source: str) -> None:
    text = markdown(source)
    cut = list(chunks(text))
    covered = 0
    for chunk in cut:
        assert text.text[chunk.start : chunk.start + len(chunk.text)] == chunk.text
        assert pieces(chunk.text) <= MOST_PIECES and 0 < len(chunk.text) <= MOST_CHARACTERS
        assert chunk.start <= covered or not text.text[covered : chunk.start].strip()
        covered = chunk.start + len(chunk.text)
    assert not text.text[covered:].strip()
    assert [chunk.position for chunk in cut] == list(range(len(cut)))


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_a_chunk_repeats_the_end_of_the_one_before_unless_it_begins_with_a_heading(source: str) -> None:
    text = markdown(source)
    begins = {heading.offset for heading in text.headings}
    cut = list(chunks(text))
    for before, chunk in pairwise(cut):
        end = before.start + len(before.text)
        if chunk.start in begins or end < chunk.start:
            assert chunk.repeated == 0
        elif chunk.repeated:
            repeated = chunk.text[: chunk.repeated]
            assert before.text.endswith(repeated) or not repeated.strip()
            assert pieces(repeated) <= OVERLAP_PIECES
        assert chunk.start > before.start


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_the_same_text_is_cut_the_same_way(source: str) -> None:
    assert list(chunks(markdown(source))) == list(chunks(markdown(source)))


def test_a_short_text_is_one_chunk() -> None:
    assert list(chunks(Text("All of it."))) == [Chunk(0, 0, "All of it.", 0, "", None)]


def test_nothing_is_cut_into_nothing() -> None:
    assert list(chunks(Text(""))) == [] and list(chunks(Text(" \n\n \t"))) == []


def test_a_long_text_is_cut_between_sentences_which_it_repeats() -> None:
    sentences = [f"This is the sentence number {number} of a rather long text." for number in range(60)]
    cut = list(chunks(Text(" ".join(sentences))))
    assert len(cut) > 3
    for chunk in cut:
        assert chunk.text.startswith("This is") and chunk.text.rstrip().endswith("text.")
    for chunk in cut[1:]:
        assert chunk.text[: chunk.repeated].startswith("This is the sentence number")


def test_chunks_know_under_which_headings_they_lie() -> None:
    part = "Some words that say what is to be done here, and why. " * 6
    source = f"# Guide\n\n{part}\n\n## Install\n\n{part}\n\n### On Linux\n\n{part}\n\n## Use\n\n{part}"
    found = [(chunk.heading, chunk.text.split("\n")[0]) for chunk in chunks(markdown(source))]
    assert found == [
        ("Guide", "# Guide"),
        ("Guide > Install", "## Install"),
        ("Guide > Install > On Linux", "### On Linux"),
        ("Guide > Use", "## Use"),
    ]


def test_short_sections_stay_together() -> None:
    source = "\n\n".join(f"## Part {number}\n\nA line." for number in range(12))
    cut = list(chunks(markdown(source)))
    assert 1 < len(cut) < 5 and all(chunk.text.startswith("## Part") for chunk in cut)


def test_pages_are_counted_from_one() -> None:
    page = "What stands on this page is said at some length. " * 15
    text = Text("\n\n".join([page] * 3), pages=[0, len(page) + 2, 2 * len(page) + 4])
    found = [chunk.page for chunk in chunks(text)]
    assert found[0] == 1 and found[-1] == 3 and found == sorted(found, key=lambda one: one or 0)


@pytest.mark.parametrize(
    "source, expected",
    [
        ("# A\nx\n## B #\n", [(0, 1, "A"), (6, 2, "B")]),
        ("Title\n=====\nx\n\nPart\n---\n", [(0, 1, "Title"), (15, 2, "Part")]),
        ("```\n# no heading\n```\n# One", [(21, 1, "One")]),
        ("~~~~\n```\n# no\n~~~\n# no\n~~~~\n  # `Yes` [it](x) is", [(30, 1, "Yes it is")]),
        ("#no\n####### no\n    # code", []),
        ("| a | b |\n---\n\n- item\n---\n\n---\nx", []),
    ],
)
def test_headings_of_markdown_are_found(source: str, expected: list[tuple[int, int, str]]) -> None:
    found = [(heading.offset, heading.level, heading.title) for heading in markdown(source).headings]
    assert found == expected


def test_a_path_leaves_out_what_was_ended() -> None:
    levels = [(1, "A"), (3, "B"), (2, "C"), (2, "D"), (1, "E")]
    found = paths([Heading(0, level, title) for level, title in levels])
    assert found == ["A", "A > B", "A > C", "A > D", "E"]


def test_a_text_is_cleaned_of_what_nobody_sees() -> None:
    assert cleaned("\ufeffa\r\nb\rc\u2028d\x00\x07e\n\n \n\n\nf\x1b[0m") == "a\nb\nc\nd\ufffde\n\nf[0m"


def test_no_chunk_has_more_word_pieces_than_the_default_model_reads() -> None:
    from shared.stores.embedders import minilm

    tokenizer = minilm.package.tokenizer()  # type: ignore[attr-defined]
    tokenizer.no_truncation()
    root = Path(__file__).resolve().parents[2]
    sources = [*root.glob("*.md"), *sorted(root.glob("shared/stores/**/*.py"))[:40]]
    counts = [len(tokenizer.encode(chunk.text).ids) for path in sources for chunk in chunks(markdown(path.read_text()))]
    assert len(counts) > 200 and max(counts) <= 256
