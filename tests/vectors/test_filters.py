"""Filters: what they parse to, what passes them, and what is refused."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.strict_json import Json
from shared.vectors.filters import (
    CREATED_AT,
    DEPTH,
    PARTS,
    VALUES,
    And,
    Eq,
    Exists,
    In,
    Not,
    Or,
    Range,
    parse,
    passes,
)

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()
PAPER: Mapping[str, Any] = {
    "lang": "en",
    "year": 2024,
    "tags": ["maths", "graphs"],
    "open": True,
    "score": 0.5,
    "no": [],
}


@pytest.mark.parametrize(
    "filters, tree",
    [
        ({"lang": "en"}, Eq("lang", "en")),
        ({"lang": ["en", "de"]}, In("lang", ("en", "de"))),
        ({"lang": "en", "year": 2024}, And((Eq("lang", "en"), Eq("year", 2024)))),
        ({"in": {"lang": ["en"]}}, In("lang", ("en",))),
        ({"range": {"year": {"gte": 2020, "lt": 2025}}}, Range("year", gte=2020, lt=2025)),
        ({"year": {"gt": 2020}}, Range("year", gt=2020)),
        ({"year": {"lte": 1, "exists": True}}, And((Range("year", lte=1), Exists("year")))),
        ({"year": {"exists": False}}, Not(Exists("year"))),
        ({"or": [{"a": 1}, {"b": 2}]}, Or((Eq("a", 1), Eq("b", 2)))),
        ({"or": []}, Or(())),
        ({"and": [{}]}, And((And(()),))),
        ({"not": {"a": 1, "b": 2}}, Not(And((Eq("a", 1), Eq("b", 2))))),
        ({"date_range": {"start": "2026-03-04T12:00:00Z"}}, Range(CREATED_AT, gte=NOON)),
        ({"date_range": {"start": "2026-03-04T13:00:00+01:00"}}, Range(CREATED_AT, gte=NOON)),
        ({"date_range": {"end": "2026-03-04T12:00:00"}}, Range(CREATED_AT, lte=NOON)),
        ({"date_range": {"end": "2026-03-04"}}, Range(CREATED_AT, lt=NOON + 12 * 3600)),
    ],
)
def test_filters_are_read_as_a_tree(filters: dict[str, Json], tree: object) -> None:
    assert parse(filters) == tree


@pytest.mark.parametrize("filters", [None, {}])
def test_where_nothing_is_asked_for_there_is_no_filter(filters: dict[str, Json] | None) -> None:
    assert parse(filters) is None


@pytest.mark.parametrize(
    "filters, said",
    [
        ({"lang": None}, "filters.lang is neither a string, a number nor a boolean"),
        ({"lang": [["en"]]}, "filters.lang[0] is neither a string, a number nor a boolean"),
        ({"lang": {}}, "filters.lang compares with nothing"),
        ({"lang": {"like": "e%"}}, "filters.lang has 'like', which is none of exists, gt, gte, in, lt, lte"),
        ({"year": {"gt": "2020"}}, "filters.year.gt is not a number"),
        ({"year": {"gt": True}}, "filters.year.gt is not a number"),
        ({"year": {"in": 3}}, "filters.year.in is not a list of values"),
        ({"year": {"exists": 1}}, "filters.year.exists is neither true nor false"),
        ({"and": {"a": 1}}, "filters.and is not a list of filters"),
        ({"or": [{"a": 1}, 3]}, "filters.or[1] is not an object"),
        ({"not": [{"a": 1}]}, "filters.not is not an object"),
        ({"not": {"or": [{"range": {"n": 3}}]}}, "filters.not.or[0].range.n is not an object of gt, gte, lt and lte"),
        ({"in": ["a"]}, "filters.in is not an object of keys"),
        ({"range": {"n": {"from": 3}}}, "filters.range.n is not an object of gt, gte, lt and lte"),
        ({"date_range": {}}, "filters.date_range is not an object of start and end"),
        ({"date_range": {"from": "2026-01-01"}}, "filters.date_range is not an object of start and end"),
        ({"date_range": {"start": "yesterday"}}, "filters.date_range.start is neither a date nor a time of RFC 3339"),
        ({"date_range": {"end": 1772000000}}, "filters.date_range.end is neither a date nor a time of RFC 3339"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(filters: dict[str, Json], said: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(filters)
    assert refusal.value.message == said


def test_depth_parts_and_values_are_bounded() -> None:
    deep: dict[str, Json] = {"a": 1}
    for _ in range(DEPTH):
        deep = {"not": deep}
    with pytest.raises(Invalid, match=f"nested deeper than {DEPTH}"):
        parse(deep)
    with pytest.raises(Invalid, match=f"more than {PARTS} parts"):
        parse({"or": [{"a": 1} for _ in range(PARTS)]})
    with pytest.raises(Invalid, match=f"more than {VALUES} values"):
        parse({"a": list(range(VALUES)), "b": 1})
    assert parse(deep["not"] if isinstance(deep["not"], dict) else None) is not None


@pytest.mark.parametrize(
    "filters, expected",
    [
        ({"lang": "en"}, True),
        ({"lang": "EN"}, False),
        ({"year": 2024.0}, True),
        ({"year": "2024"}, False),
        ({"open": True}, True),
        ({"open": 1}, False),
        ({"tags": "maths"}, True),
        ({"tags": ["none", "graphs"]}, True),
        ({"tags": []}, False),
        ({"missing": "x"}, False),
        ({"not": {"missing": "x"}}, True),
        ({"score": {"gt": 0.5}}, False),
        ({"score": {"gte": 0.5, "lt": 1}}, True),
        ({"lang": {"gt": 0}}, False),
        ({"open": {"gte": 0}}, False),
        ({"tags": {"exists": True}}, True),
        ({"no": {"exists": True}}, False),
        ({"or": []}, False),
        ({"and": []}, True),
        ({"date_range": {"start": "2026-03-04", "end": "2026-03-04"}}, True),
        ({"date_range": {"end": "2026-03-03"}}, False),
    ],
)
def test_what_passes(filters: dict[str, Json], expected: bool) -> None:
    tree = parse(filters)
    assert tree is not None
    assert passes(tree, PAPER, NOON) is expected


SCALARS = st.one_of(st.sampled_from(["a", "b", "1"]), st.integers(-2, 2), st.booleans(), st.sampled_from([0.5, 1.0]))
KEYS = st.sampled_from(["k", "l", "exists", "ключ"])
BOUNDS = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(-2, 2), min_size=1)
FILTERS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.one_of(
        st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3), BOUNDS), max_size=2),
        st.fixed_dictionaries({"in": st.dictionaries(KEYS, st.lists(SCALARS, max_size=3), max_size=2)}),
        st.fixed_dictionaries({"range": st.dictionaries(KEYS, BOUNDS, max_size=2)}),
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=8,
)
METADATA = st.dictionaries(KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=4)


def _naive(filters: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """Over the request itself, by way of what JSON would write: 1 is 1.0, but neither true nor "1"."""

    def values(key: str) -> list[Any]:
        held = metadata.get(key, [])
        return held if isinstance(held, list) else [held]

    def written(value: Any) -> str:
        return repr(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)

    def among(key: str, wanted: list[Any]) -> bool:
        return not {written(value) for value in values(key)}.isdisjoint(written(value) for value in wanted)

    def within(key: str, bounds: dict[str, float]) -> bool:
        numbers = [value for value in values(key) if type(value) in (int, float)]
        tests = {"gt": float.__gt__, "gte": float.__ge__, "lt": float.__lt__, "lte": float.__le__}
        return any(all(tests[name](float(number), float(b)) for name, b in bounds.items()) for number in numbers)

    for key, value in filters.items():
        match key, value:
            case "and", list():
                holds = all(_naive(part, metadata) for part in value)
            case "or", list():
                holds = any(_naive(part, metadata) for part in value)
            case "not", dict():
                holds = not _naive(value, metadata)
            case "in", dict():
                holds = all(among(name, wanted) for name, wanted in value.items())
            case "range", dict():
                holds = all(within(name, bounds) for name, bounds in value.items())
            case _, dict():
                holds = within(key, value)
            case _, list():
                holds = among(key, value)
            case _:
                holds = among(key, [value])
        if not holds:
            return False
    return True


@given(FILTERS, METADATA)
def test_a_point_passes_where_the_request_read_word_for_word_says_so(
    filters: dict[str, Any], metadata: dict[str, Any]
) -> None:
    tree = parse(filters)
    assert tree is None or passes(tree, metadata, 0.0) is _naive(filters, metadata)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_is_sent_is_read_or_refused(filters: Any) -> None:
    if isinstance(filters, dict):
        try:
            tree = parse(filters)
        except Invalid:
            return
        assert tree is None or passes(tree, PAPER, NOON) in (True, False)
