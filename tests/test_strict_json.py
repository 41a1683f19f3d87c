"""JSON from strangers: what is taken comes out as it went in, and everything doubtful is refused."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import Invalid
from shared.strict_json import DEPTH, KEYS, STRING_BYTES, Json, check, dump, load, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NUMBER = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


def _same(one: Json, other: Json) -> bool:
    """Equal, and of the same types: 1, 1.0 and true are three things."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


@given(JSON)
@example({"é": "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "": [-0.0, 1e308]})
def test_what_is_dumped_is_parsed_as_it_was(value: Json) -> None:
    body = dump(value)
    assert _same(parse(body), value)
    assert _same(load(body), value)
    check(value)


@given(JSON)
def test_escapes_and_blanks_change_nothing(value: Json) -> None:
    assert _same(parse(json.dumps(value, ensure_ascii=True, indent=1).encode()), value)


@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_parsed_or_refused_and_what_is_parsed_comes_out_again(body: bytes) -> None:
    try:
        value = parse(body)
    except Invalid:
        return
    assert _same(parse(dump(value)), value)
    assert _same(json.loads(body), value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[1,]",
        b"{'a': 1}",
        b'{"a": 1, "a": 1}',
        b'[{"a": {"b": 1, "b": 2}}]',
        b'{"a": 1, "\\u0061": 2}',
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b"1e999",
        b"-1e999",
        b"9223372036854775808",
        b"-9223372036854775809",
        b"[" + b"9" * 5000 + b"]",
        b'"\\u0000"',
        b'{"\\u0000": 1}',
        b'"\\ud800"',
        b'["\\udc00\\ud800"]',
        b'{"\\ud83d": 1}',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b'"\xed\xa0\x80"',
        "{}".encode("utf-16"),
        b'"a\nb"',
        b"{} {}",
        b"01",
    ],
)
def test_what_another_reader_might_read_differently_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        parse(body)
    assert len(refusal.value.message) < 200


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0, -1])
def test_whole_numbers_of_64_bits_stay_whole(number: int) -> None:
    assert _same(parse(str(number).encode()), number)


@pytest.mark.parametrize("opened, closed", [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_is_taken_up_to_its_bound(opened: bytes, closed: bytes) -> None:
    assert parse(opened * DEPTH + b"1" + closed * DEPTH) is not None
    for depth in (DEPTH + 1, 2000, 200_000):
        with pytest.raises(Invalid):
            parse(opened * depth + b"1" + closed * depth)


def test_brackets_inside_strings_are_no_nesting() -> None:
    assert parse(b'"' + b"[{" * 500 + b'"') == "[{" * 500


def test_keys_are_counted_over_the_whole_document() -> None:
    def document(keys: int) -> bytes:
        half = keys // 2
        return dump([{str(number): 0 for number in range(half)}, {str(number): 0 for number in range(keys - half)}])

    assert parse(document(KEYS)) is not None
    with pytest.raises(Invalid):
        parse(document(KEYS + 1))


@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_strings_are_measured_in_bytes(character: str) -> None:
    size = len(character.encode())
    whole = STRING_BYTES // size
    for body in (dump(character * whole), dump({character * whole: 1}), json.dumps(character * whole).encode()):
        assert parse(body) is not None
    for value in (character * (whole + 1), {character * (whole + 1): 1}):
        with pytest.raises(Invalid):
            parse(dump(value))  # type: ignore[arg-type]


def test_the_bound_of_strings_can_be_moved() -> None:
    body = dump("x" * (STRING_BYTES + 1))
    assert parse(body, string_bytes=STRING_BYTES * 2) is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_is_not_dumped(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump([value])


@pytest.mark.parametrize("value", ["\0", ["\ud800"], {"\0": 1}, {"a": "x" * (STRING_BYTES + 1)}])
def test_the_same_rules_hold_for_what_was_parsed_elsewhere(value: Any) -> None:
    with pytest.raises(Invalid):
        check(value)
