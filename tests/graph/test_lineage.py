"""Which contents are taken for the same, and which ids for named."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.graph.lineage import MOST_CONTENTS, MOST_IDS, SHORTEST, contents, named_ids
from shared.strict_json import Json

LONG = "a sentence that is long enough to tell"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@pytest.mark.parametrize(
    "given",
    [
        LONG,
        f"  {LONG}\n",
        {"text": LONG},
        [1, {"deep": [[LONG]]}],
        {"content": [{"type": "text", "text": f"{LONG}\n"}]},
    ],
)
def test_a_text_is_found_wherever_it_stands(given: Json) -> None:
    assert contents({"message": LONG}) & contents(given) == {LONG.encode()}


@pytest.mark.parametrize(
    "written",
    [
        '{"b": [1, 2, 3], "a": "eight or more"}',
        '{"a":"eight or more","b":[1,2,3]}',
        ' {"a": "eight or more",\n "b": [1,\t2, 3]}\n',
    ],
)
def test_an_object_is_the_same_however_it_is_spelt(written: str) -> None:
    value: Json = {"a": "eight or more", "b": [1, 2, 3]}
    assert contents({"result": value}) & contents({"input": written})


@pytest.mark.parametrize("given", ["ok", "x" * (SHORTEST - 1), {"a": 1}, [], None, 12345678901234567890123456, {}])
def test_what_is_short_tells_nothing(given: Json) -> None:
    assert contents(given) == frozenset()


@pytest.mark.parametrize("given", [f"{LONG}.", f"He said: {LONG}", LONG.upper(), LONG[:-1]])
def test_what_was_changed_on_the_way_is_not_recognised(given: str) -> None:
    assert not contents(LONG) & contents(given)


def test_there_is_a_bound_and_the_outermost_come_first() -> None:
    many: Json = {"whole": [f"{number:030}" for number in range(1000)]}
    found = contents(many)
    assert len(found) == MOST_CONTENTS
    assert json.dumps(many, separators=(",", ":")).encode() in found


def test_a_deep_value_ends() -> None:
    deep: Json = LONG
    for _ in range(60):
        deep = [deep]
    assert LONG.encode() not in contents(deep)


@given(JSON)
def test_a_value_shares_all_with_what_holds_it(value: Json) -> None:
    assert contents(value) <= contents([value]) or len(contents([value])) == MOST_CONTENTS


@given(JSON)
def test_a_value_that_went_through_json_is_the_same(value: Json) -> None:
    assert contents(value) == contents(json.loads(json.dumps(value)))


ONE = "0a1b2c3d-0000-4000-8000-00000000abcd"


@pytest.mark.parametrize("given", [ONE, ONE.upper(), f"see {ONE}, and go on", {"task_id": ONE}, [[f"/tasks/{ONE}"]]])
def test_an_id_is_named_wherever_it_stands(given: Json) -> None:
    assert named_ids(given) == {UUID(ONE)}


@pytest.mark.parametrize("given", [f"0{ONE}", f"{ONE}0", f"{ONE}-1", ONE.replace("-", ""), ONE[:-1], 7, None])
def test_what_only_looks_like_an_id_is_none(given: Json) -> None:
    assert named_ids(given) == frozenset()


def test_ids_are_bounded() -> None:
    assert len(named_ids([str(UUID(int=number)) for number in range(1000)])) == MOST_IDS
