"""Bitmaps mark what `passes` lets pass, whatever metadata holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ports.vector_engine import Metadata, Scalar
from shared.stores.faiss.columns import Columns
from shared.stores.faiss.strings import Strings
from shared.vectors.filters import CREATED_AT, And, Eq, Exists, Filter, In, Not, Or, Range, passes

# Few keys and values, so that they meet; and what floats cannot tell apart.
_KEYS = st.sampled_from(["a", "b", "", CREATED_AT])
_NUMBERS = st.sampled_from(
    [-1, -0.0, 0, 0.5, 1, 1.0, 2, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, float("inf"), 1e300]
)
_ANY_NUMBER = _NUMBERS | st.integers(-(2**63), 2**63) | st.floats() | st.just(float("nan"))
_STRANGE: list[Scalar] = [True, False, "1", "true", "", "é", "\ud800"]
_SCALARS: st.SearchStrategy[Scalar] = st.sampled_from(_STRANGE) | _ANY_NUMBER
_METADATA: st.SearchStrategy[Metadata] = st.dictionaries(
    st.sampled_from(["a", "b", ""]), _SCALARS | st.lists(_SCALARS, max_size=3), max_size=3
)
_BOUNDS = st.none() | _ANY_NUMBER
_LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Eq, _KEYS, _SCALARS),
    st.builds(In, _KEYS, st.lists(_SCALARS, max_size=4).map(tuple)),
    st.builds(Range, _KEYS, gt=_BOUNDS, gte=_BOUNDS, lt=_BOUNDS, lte=_BOUNDS),
    st.builds(Exists, _KEYS),
)
_FILTERS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(_METADATA, st.floats(-1e10, 1e10) | _NUMBERS.map(float)), max_size=8), _FILTERS)
def test_a_bitmap_marks_what_passes(points: list[tuple[Metadata, float]], filter: Filter) -> None:
    columns = Columns([metadata for metadata, _ in points], np.array([at for _, at in points], np.float64))
    expected = [passes(filter, metadata, created_at) for metadata, created_at in points]
    assert columns.passing(filter).tolist() == expected


@pytest.mark.parametrize(
    "filter, marked",
    [
        (Eq("n", 1), [True, True, False, False, True]),
        (Eq("n", True), [False, False, True, False, True]),
        (Eq("n", "1"), [False, False, False, True, False]),
        (Range("n", gte=1), [True, True, False, False, True]),
        (Exists("n"), [True, True, True, True, True]),
        (Not(Eq("n", 1)), [False, False, True, True, False]),
        (Eq("none", 1), [False] * 5),
    ],
)
def test_numbers_booleans_and_strings_are_three_things(filter: Filter, marked: list[bool]) -> None:
    held: list[Mapping[str, Any]] = [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": "1"}, {"n": [True, 1]}]
    assert Columns(held, np.zeros(5)).passing(filter).tolist() == marked


def test_a_date_range_is_of_the_time_a_point_was_made() -> None:
    columns = Columns([{CREATED_AT: 5.0}, {}, {}], np.array([1.0, 2.0, 3.5]))
    assert columns.passing(Range(CREATED_AT, gte=2.0, lt=3.5)).tolist() == [False, True, False]
    assert columns.passing(Eq(CREATED_AT, 5.0)).tolist() == [False, False, False]


@given(
    st.lists(st.text(st.sampled_from("abé🙂\ud800"), max_size=6), max_size=30),
    st.text(st.sampled_from("abé🙂\ud800"), max_size=3),
    st.randoms(use_true_random=False),
)
def test_texts_are_found_by_what_they_hold_and_not_by_what_two_hold_together(
    texts: list[str], part: str, random: Any
) -> None:
    strings = Strings.of(texts)
    among = np.array([random.random() < 0.6 for _ in texts], np.bool_)
    found = strings.containing(part, among)
    assert found.tolist() == [mark and part in text for mark, text in zip(among.tolist(), texts, strict=True)]
    assert [strings[row] for row in range(len(strings))] == texts
