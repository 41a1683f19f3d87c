"""Answers of clients: what fits what was asked."""

from typing import Any

import pytest

from shared.answers import fits
from shared.asking import ROOTS, filled_in, form, roots_of, said, sampling

FIELDS: dict[str, Any] = {
    "name": {"type": "string", "minLength": 2, "maxLength": 5},
    "email": {"type": "string", "format": "email"},
    "home": {"type": "string", "format": "uri"},
    "born": {"type": "string", "format": "date"},
    "at": {"type": "string", "format": "date-time"},
    "age": {"type": "integer", "minimum": 1, "maximum": 9},
    "score": {"type": "number", "maximum": 10.5},
    "sure": {"type": "boolean"},
    "one": {"type": "string", "enum": ["a", "b"]},
    "titled": {"type": "string", "oneOf": [{"const": "a", "title": "A"}]},
    "some": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "enum": ["a", "b"]}},
    "several": {"type": "array", "items": {"anyOf": [{"const": "a", "title": "A"}]}},
}
FORM = form("Who?", FIELDS, required=["name"])
SAMPLED: dict[str, Any] = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hi"}}


@pytest.mark.parametrize(
    "field, right, wrong",
    [
        ("name", ["ab", "abcde"], ["a", "abcdef", 7, None, ["ab"]]),
        ("email", ["a@b"], ["a", "a b@c", "@"]),
        ("home", ["https://example.org/"], ["example", "http://[::1"]),
        ("born", ["2026-07-28"], ["2026-13-01", "yesterday"]),
        ("at", ["2026-07-28T10:00:00Z"], ["10 o'clock"]),
        ("age", [1, 9, 3.0], [0, 10, 2.5, True, "3"]),
        ("score", [-1, 10.5], [10.6, False, "1"]),
        ("sure", [True, False], [1, "true", None]),
        ("one", ["a", "b"], ["c", ""]),
        ("titled", ["a"], ["A", "b"]),
        ("some", [["a"], ["a", "b"]], [[], ["a", "b", "a"], ["c"], "a", [1]]),
        ("several", [[], ["a"]], [["b"]]),
    ],
)
def test_each_kind_of_field_takes_what_its_schema_says(field: str, right: list[Any], wrong: list[Any]) -> None:
    def taken(value: Any) -> bool:
        return fits(FORM, {"action": "accept", "content": {"name": "ada", field: value}})

    assert [taken(value) for value in right] == [True] * len(right)
    assert [taken(value) for value in wrong] == [False] * len(wrong)


@pytest.mark.parametrize(
    "request_, answer, taken",
    [
        (FORM, {"action": "accept", "content": {}}, False),
        (FORM, {"action": "accept"}, False),
        (FORM, {"action": "accept", "content": {"name": "ada", "more": object}}, True),
        (FORM, {"action": "decline"}, True),
        (FORM, {"action": "cancel", "content": 7}, True),
        (FORM, {"action": "perhaps"}, False),
        (FORM, 12345, False),
        (sampling("?", max_tokens=1), SAMPLED, True),
        (sampling("?", max_tokens=1), {**SAMPLED, "content": [SAMPLED["content"]]}, True),
        (sampling("?", max_tokens=1), {**SAMPLED, "content": "hi"}, False),
        (sampling("?", max_tokens=1), {**SAMPLED, "model": None}, False),
        (ROOTS, {"roots": []}, True),
        (ROOTS, {"roots": [{"uri": "file:///a"}]}, True),
        (ROOTS, {"roots": [{"name": "a"}]}, False),
        (ROOTS, {}, False),
        ({"method": "tools/call"}, {}, False),
    ],
)
def test_an_answer_fits_its_request_or_does_not(request_: Any, answer: Any, taken: bool) -> None:
    assert fits(request_, answer) is taken


def test_what_is_in_an_answer_is_found() -> None:
    assert filled_in({"action": "accept", "content": {"name": "ada"}}) == {"name": "ada"}
    assert [filled_in({"action": action}) for action in ("accept", "decline", "cancel")] == [{}, None, None]
    assert said({**SAMPLED, "content": [{"type": "image"}, {"type": "text", "text": "a"}, SAMPLED["content"]]}) == "ahi"
    assert roots_of({"roots": [{"uri": "file:///a"}, {"uri": "file:///b", "name": "B"}]}) == [
        ("file:///a", "file:///a"),
        ("B", "file:///b"),
    ]
