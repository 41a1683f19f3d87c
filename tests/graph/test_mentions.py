"""What counts as a mention."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.leading import ENDS, leading
from shared.graph.mentions import Titles, agents_in, as_refs, first_of, ids_in, is_telling
from shared.ports.document_ties import Mention
from shared.ports.graph import KINDS, MOST_MENTIONS, RELATIONS, Ref

ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    "text",
    [
        "As the Quarterly Report says",
        "quarterly report",
        "(QUARTERLY   report)",
        "see quarterly-report.pdf",
        "the\nquarterly\nreport",
    ],
)
def test_a_title_is_found_as_whole_words_in_whichever_case(text: str) -> None:
    assert Titles({ONE: "Quarterly Report", OTHER: "Another one"}).found_in(["nothing", text, text]) == {ONE: 1}


@pytest.mark.parametrize(
    "text", ["quarterly reports", "quarterly", "report quarterly", "a quarterly, not a report", ""]
)
def test_a_part_of_a_title_is_none(text: str) -> None:
    assert Titles({ONE: "Quarterly Report"}).found_in([text]) == {}


@pytest.mark.parametrize("title", ["Untitled", "notes", "a b c", "", "?!", "Kubernetes"])
def test_a_title_that_anybody_may_write_names_nothing(title: str) -> None:
    assert not is_telling(title)
    assert Titles({ONE: title}).found_in([title]) == {}


def test_documents_of_one_title_are_all_named() -> None:
    assert Titles({ONE: "daily report", OTHER: "Daily Report"}).found_in(["Daily report"]) == {ONE: 0, OTHER: 0}


@given(st.text(), st.text(min_size=1), st.text())
def test_a_text_that_holds_a_telling_title_between_blanks_names_it(before: str, title: str, after: str) -> None:
    assert Titles({ONE: title}).found_in([f"{before} {title} {after}"]) == ({ONE: 0} if is_telling(title) else {})


AGENTS = ["filesystem", "memory", "memory-bank", "http-fetch"]


@pytest.mark.parametrize(
    "text, named",
    [
        ("fetched by http-fetch.", ["http-fetch"]),
        ("HTTP-Fetch and memory-bank", ["http-fetch", "memory-bank"]),
        ("the memory agent keeps it", ["memory"]),
        ("given to agent `filesystem`", ["filesystem"]),
        ("out of memory on this filesystem", []),
        ("my-http-fetch, http-fetcher", []),
        ("the memory-bank agent", ["memory-bank"]),
        ("user agent of memory", []),
    ],
)
def test_an_agent_is_named_where_nothing_else_can_be_meant(text: str, named: list[str]) -> None:
    assert sorted(agents_in(["", text], AGENTS)) == named


def test_ids_have_the_place_of_the_first_text() -> None:
    assert ids_in([f"see {ONE}", f"{OTHER} and {ONE}"]) == {ONE: 0, OTHER: 1}


def test_mentions_come_in_the_order_of_the_text_without_itself_and_have_a_bound() -> None:
    me = Ref("Document", str(ONE))
    found = [(me, 0), (Ref("Task", "b"), 2), (Ref("Task", "b"), 1), (Ref("Agent", "a"), 1)]
    assert first_of(found, but=me) == [Mention(Ref("Agent", "a"), 1), Mention(Ref("Task", "b"), 1)]
    many = as_refs("Task", {f"t{number:03}": 0 for number in range(1000)})
    assert [one.ref.id for one in first_of(many, but=me)] == [f"t{number:03}" for number in range(MOST_MENTIONS)]


@given(st.sets(st.sampled_from(KINDS)), st.sets(st.sampled_from(RELATIONS)))
def test_what_leads_to_kinds_is_all_that_can_end_there(kinds: set[str], relations: set[str]) -> None:
    for way, end in (("in", 0), ("out", 1)):
        found = leading(way, relations, kinds)  # type: ignore[arg-type]
        assert set(found.all) == {one for one in relations if ENDS[one][end] & kinds}  # type: ignore[index]
        assert set(found.surely) <= set(found.all)
        assert all(ENDS[one][end] <= kinds for one in found.surely)
