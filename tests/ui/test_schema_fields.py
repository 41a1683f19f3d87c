"""Forms made from JSON Schemas: what they hold, and what comes out of them."""

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from shared.catalog import actions_of, agent_names
from shared.function import Spec
from shared.manifests.schemas import input_schema
from ui.components.schema_fields import (
    ABSENT,
    SAFE,
    Entered,
    Field,
    Kind,
    entered_of,
    faults,
    fields_of,
    fitting,
    parameters_of,
)

ACTIONS = [spec for agent in agent_names() for spec in actions_of(agent)]
EDITS: dict[str, Any] = {
    "$defs": {"Edit": {"type": "object", "properties": {"old": {"type": "string"}}, "required": ["old"]}},
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "edits"],
    "properties": {
        "dry": {"type": "boolean", "default": False},
        "path": {"type": "string", "description": "where"},
        "edits": {"type": "array", "items": {"$ref": "#/$defs/Edit"}, "minItems": 1},
        "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
        "below": {"type": "integer", "exclusiveMaximum": 10},
        "sort": {"enum": ["name", "size"], "default": "name"},
        "kinds": {"type": "array", "items": {"enum": ["file", "folder"]}},
        "globs": {"type": "array", "items": {"type": "string"}},
        "content": {"type": "string"},
        "follow": {"type": ["boolean", "null"]},
        "odd": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
    },
}


def test_each_kind_of_schema_gets_its_field() -> None:
    found = {field.name: (field.kind, field.required) for field in fields_of(EDITS)}
    assert found == {
        "path": ("text", True),
        "edits": ("json", True),
        "dry": ("boolean", False),
        "limit": ("integer", False),
        "below": ("integer", False),
        "sort": ("choice", False),
        "kinds": ("choices", False),
        "globs": ("lines", False),
        "content": ("long_text", False),
        "follow": ("yes_or_no", False),
        "odd": ("json", False),
    }
    assert list(found)[:2] == ["path", "edits"]


def test_bounds_defaults_and_descriptions_come_with_the_field() -> None:
    fields = {field.name: field for field in fields_of(EDITS)}
    assert fields["path"].description == "where"
    assert (fields["limit"].least, fields["limit"].most, fields["below"].most) == (1, None, 9)
    assert (fields["sort"].choices, fields["sort"].default) == (("name", "size"), "name")
    assert fields["globs"].default is ABSENT


def test_what_was_left_empty_is_left_out_and_what_is_needed_is_asked_for() -> None:
    fields = fields_of(EDITS)
    entered: dict[str, Entered] = {field.name: entered_of(field, field.default) for field in fields}
    assert parameters_of(fields, entered) == (
        {"dry": False, "sort": "name"},
        {"path": "is needed", "edits": "is needed"},
    )


def test_what_was_entered_becomes_parameters() -> None:
    entered: dict[str, Entered] = {
        "path": "a.txt",
        "edits": '[{"old": "x"}]',
        "dry": True,
        "limit": 3,
        "kinds": ["file"],
        "globs": "*.py\n\n  *.md\n",
        "follow": False,
        "odd": "7",
    }
    assert parameters_of(fields_of(EDITS), entered) == (
        {
            "path": "a.txt",
            "edits": [{"old": "x"}],
            "dry": True,
            "limit": 3,
            "kinds": ["file"],
            "globs": ["*.py", "  *.md"],
            "follow": False,
            "odd": 7,
        },
        {},
    )


@pytest.mark.parametrize("text", ["{", "[1,]", "NaN", "Infinity", "[1e400]", "[" * 100_000])
def test_what_is_no_json_is_refused_in_words(text: str) -> None:
    _, wrong = parameters_of(fields_of(EDITS), {"path": "a", "edits": text})
    assert wrong["edits"].startswith("is not JSON") or wrong["edits"] == "is nested too deeply"


def test_faults_are_told_by_field() -> None:
    assert faults(EDITS, {"path": "a", "edits": [{}], "limit": 0, "more": 1}) == {
        "edits": "0: 'old' is a required property",
        "limit": "0 is not valid under any of the given schemas",
        "": "Additional properties are not allowed ('more' was unexpected)",
    }


def test_a_value_that_its_field_cannot_hold_is_shown_as_json() -> None:
    fields = {field.name: field for field in fields_of(EDITS)}
    values: dict[str, tuple[JsonValue, Kind]] = {
        "path": ("two\nlines", "long_text"),
        "globs": (["two\nlines"], "json"),
        "limit": (SAFE + 1, "json"),
        "below": (99, "json"),
        "sort": ("none of them", "json"),
    }
    assert {name: fitting(fields[name], value).kind for name, (value, _) in values.items()} == {
        name: kind for name, (_, kind) in values.items()
    }


@pytest.mark.parametrize("spec", ACTIONS, ids=lambda spec: f"{spec.agent}/{spec.tool.name}")
def test_every_tool_has_a_form_whose_defaults_are_right(spec: Spec) -> None:
    schema = input_schema(spec)
    fields = fields_of(schema)
    assert {field.name for field in fields} == schema.get("properties", {}).keys()
    entered: dict[str, Entered] = {field.name: entered_of(field, field.default) for field in fields}
    parameters, wrong = parameters_of(fields, entered)
    assert wrong.keys() <= {field.name for field in fields if field.required}
    assert faults({**schema, "required": []}, parameters).keys() <= set(schema.get("required", []))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers(-SAFE, SAFE)
property_schemas = st.one_of(
    st.just({"type": "string"}),
    st.builds(
        lambda choices: {"type": "string", "enum": choices}, st.lists(texts, min_size=1, max_size=4, unique=True)
    ),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, integers, st.integers(0, 9)
    ),
    st.just({"type": "number"}),
    st.just({"type": "boolean"}),
    st.just({"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None}),
    st.just({"type": "array", "items": {"type": "string"}}),
    st.just({"type": "array", "items": {"enum": ["a", "b"]}}),
    st.just({"type": "object", "additionalProperties": {"type": "integer"}}),
)
schemas = st.builds(
    lambda properties, needed: {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": [name for name, is_needed in zip(properties, needed, strict=False) if is_needed],
    },
    st.dictionaries(st.sampled_from("abcdef"), property_schemas, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
)


def _entered(field: Field) -> st.SearchStrategy[Any]:
    """Whatever the field's widget can give."""
    bounds = {"min_value": int(field.least or -SAFE), "max_value": int(field.most or SAFE)}
    by_kind: dict[Kind, st.SearchStrategy[Any]] = {
        "text": texts,
        "long_text": texts,
        "integer": st.none() | st.integers(**bounds),
        "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
        "yes_or_no": st.sampled_from([None, True, False]),
        "choice": st.none() | st.sampled_from(field.choices or (None,)),
        "choices": st.lists(st.sampled_from(field.choices or ("",)), unique=True),
        "lines": texts,
        "json": st.sampled_from(["", "{}", '{"x": 1}', '{"x": "1"}', "[", "null", "1e400"]) | texts,
    }
    return by_kind[field.kind]


@given(st.data())
def test_whatever_is_entered_is_refused_or_is_what_the_schema_asks_for(data: st.DataObject) -> None:
    schema = data.draw(schemas)
    fields = fields_of(schema)
    entered = {field.name: data.draw(_entered(field)) for field in fields}
    parameters, wrong = parameters_of(fields, entered)
    if not wrong and not faults(schema, parameters):
        jsonschema.validate(parameters, schema)
    # All but what is typed as JSON is right as soon as it is complete.
    typed = {field.name for field in fields if field.kind == "json"}
    assert wrong.keys() | faults({**schema, "required": []}, parameters).keys() <= typed | set(schema["required"])


@given(st.data())
def test_parameters_that_fill_a_form_come_out_of_it_again(data: st.DataObject) -> None:
    schema = data.draw(schemas)
    fields = fields_of(schema)
    entered = {field.name: data.draw(_entered(field)) for field in fields}
    parameters, wrong = parameters_of(fields, entered)
    given_fields = [fitting(field, parameters.get(field.name, ABSENT)) for field in fields if field.name not in wrong]
    again, wrong_again = parameters_of(
        given_fields, {field.name: entered_of(field, parameters.get(field.name, ABSENT)) for field in given_fields}
    )
    assert wrong_again == {}
    # What was left out stays out, but for a box, which is ticked or not, and a null that counts without being said.
    boxes = {field.name for field in given_fields if field.kind == "boolean"}
    unsaid = {field.name for field in given_fields if field.kind == "json" and field.default is None}
    said = {name: value for name, value in parameters.items() if value is not None or name not in unsaid}
    assert {name: value for name, value in again.items() if name in parameters or name not in boxes} == said
