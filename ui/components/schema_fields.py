"""A tool's JSON Schema as the fields of a form, and what was entered there as its parameters."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NoReturn

from pydantic import JsonValue

Schema = dict[str, JsonValue]
Kind = Literal["text", "long_text", "integer", "number", "boolean", "yes_or_no", "choice", "choices", "lines", "json"]
Entered = str | int | float | bool | list[JsonValue] | None

# What a browser's number can hold without rounding.
SAFE = (1 << 53) - 1
_LONG_FROM = 300
_LONG_NAMES = frozenset({"body", "code", "content", "html", "markdown", "prompt", "script", "sql", "text"})


@dataclass(frozen=True, slots=True)
class Absent:
    """No value at all: the tool's own default counts."""


ABSENT = Absent()


class Wrong(ValueError):
    """What was entered is no value of its field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`least` and `most` bound numbers; `choices` are the values of a closed set."""

    name: str
    kind: Kind
    required: bool
    description: str = ""
    default: JsonValue | Absent = ABSENT
    least: float | None = None
    most: float | None = None
    longest: int | None = None
    choices: tuple[JsonValue, ...] = ()


def fields_of(schema: Schema) -> list[Field]:
    """One for each property, those that are required first."""
    properties, required = _mapping(schema.get("properties")), _listed(schema.get("required"))
    found = [_field(name, _resolved(part, schema), name in required) for name, part in properties.items()]
    return sorted(found, key=lambda field: not field.required)


def parameters_of(fields: list[Field], entered: Mapping[str, Entered]) -> tuple[dict[str, JsonValue], dict[str, str]]:
    """The parameters, and by field what is wrong with the others."""
    parameters: dict[str, JsonValue] = {}
    wrong: dict[str, str] = {}
    for field in fields:
        try:
            value = value_of(field, entered.get(field.name))
        except Wrong as exc:
            wrong[field.name] = str(exc)
        else:
            if not isinstance(value, Absent):
                parameters[field.name] = value
    return parameters, wrong


def value_of(field: Field, entered: Entered) -> JsonValue | Absent:
    """Raises Wrong."""
    value = _read(field, entered)
    if isinstance(value, Absent) and field.required:
        raise Wrong("is needed")
    return value


def entered_of(field: Field, value: JsonValue | Absent) -> Entered:
    """What stands in a field that holds that value."""
    if isinstance(value, Absent) or (value is None and field.kind != "json"):
        return [] if field.kind == "choices" else None
    match field.kind:
        case "json":
            # Nothing says the same where null is what counts without it.
            unsaid = value is None and field.default is None and not field.required
            return "" if unsaid else json.dumps(value, indent=2, ensure_ascii=False)
        case "lines":
            return "\n".join(map(str, value)) if isinstance(value, list) else ""
        case "choices":
            return [item for item in value if item in field.choices] if isinstance(value, list) else []
        case "choice" | "yes_or_no":
            return value if value in field.choices and not isinstance(value, dict) else None
        case _:
            return value if isinstance(value, str | int | float) else None


def fitting(field: Field, value: JsonValue | Absent) -> Field:
    """The field, or one as JSON where it could not hold that value as it is."""
    if isinstance(value, Absent):
        return field
    if field.kind == "text" and isinstance(value, str) and "\n" in value:
        return replace(field, kind="long_text")
    try:
        held = value_of(field, entered_of(field, value))
    except Wrong:
        held = ABSENT
    # Absent and null are the same to a tool that takes null.
    same = held == value and isinstance(held, bool) == isinstance(value, bool)
    bounded = not isinstance(value, int | float) or isinstance(value, bool) or _within(field, value)
    return field if bounded and (same or (value is None and held is ABSENT)) else replace(field, kind="json")


def faults(schema: Schema, parameters: dict[str, JsonValue]) -> dict[str, str]:
    """By field what the schema does not allow; what belongs to no single field under ""."""
    # It takes a tenth of a second to import, and only whoever has pressed Run needs it.
    import jsonschema

    found: dict[str, str] = {}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(parameters):
        place = list(error.absolute_path)
        inner = ".".join(map(str, place[1:]))
        message = f"{inner}: {error.message}" if inner else str(error.message)
        found.setdefault(str(place[0]) if place else "", message[:300])
    return found


def _field(name: str, schema: Schema, required: bool) -> Field:
    default = schema.get("default", ABSENT)
    nullable = schema.get("x-nullable") is True
    described = schema.get("description") or schema.get("title")
    kind, choices = _kind(name, schema, optional=nullable or (not required and default in (ABSENT, None)))
    longest = schema.get("maxLength")
    return Field(
        name=name,
        kind=kind,
        required=required,
        description=described if isinstance(described, str) else "",
        default=default,
        least=_bound(schema, "minimum", "exclusiveMinimum", 1, whole=kind == "integer"),
        most=_bound(schema, "maximum", "exclusiveMaximum", -1, whole=kind == "integer"),
        longest=longest if isinstance(longest, int) else None,
        choices=choices,
    )


def _kind(name: str, schema: Schema, *, optional: bool) -> tuple[Kind, tuple[JsonValue, ...]]:
    closed = [schema["const"]] if "const" in schema else _listed(schema.get("enum"))
    if closed:
        plain = all(isinstance(item, str | int | float) for item in closed)
        return ("choice", tuple(closed)) if plain else ("json", ())
    items = _mapping(schema.get("items"))
    match schema.get("type"):
        case "string":
            longest = schema.get("maxLength")
            long = name.lower() in _LONG_NAMES or (isinstance(longest, int) and longest >= _LONG_FROM)
            return ("long_text" if long and schema.get("format") is None else "text"), ()
        case "integer":
            return "integer", ()
        case "number":
            return "number", ()
        case "boolean":
            return ("yes_or_no", (True, False)) if optional else ("boolean", ())
        case "array" if (texts := _listed(items.get("enum"))) and all(isinstance(item, str) for item in texts):
            return "choices", tuple(texts)
        case "array" if items.get("type") == "string":
            return "lines", ()
    return "json", ()


def _read(field: Field, entered: Entered) -> JsonValue | Absent:
    match field.kind:
        case "text" | "long_text":
            return _read_text(field, entered)
        case "integer" | "number":
            return ABSENT if entered is None else _read_number(field, entered)
        case "boolean":
            return bool(entered)
        case "choice" | "yes_or_no":
            return ABSENT if entered is None else entered
        case "choices":
            return _read_list(field, list(entered) if isinstance(entered, list) else [])
        case "lines":
            return _read_list(field, [line for line in str(entered or "").splitlines() if line.strip()])
    return _read_json(str(entered or ""))


def _read_text(field: Field, entered: Entered) -> JsonValue | Absent:
    text = "" if entered is None else str(entered)
    # A long text may be meant to be empty, and so may one whose default somebody has deleted.
    if text or (field.required and field.kind == "long_text") or (not field.required and _has_default(field)):
        return text
    return ABSENT


def _read_number(field: Field, entered: Entered) -> JsonValue:
    assert isinstance(entered, int | float)
    if field.kind == "integer" and int(entered) != entered:
        raise Wrong("is not a whole number")
    return int(entered) if field.kind == "integer" else entered


def _read_list(field: Field, items: list[JsonValue]) -> JsonValue | Absent:
    return items if items or field.required or _has_default(field) else ABSENT


def _read_json(text: str) -> JsonValue | Absent:
    if not text.strip():
        return ABSENT
    try:
        value: JsonValue = json.loads(text, parse_constant=_no_number, parse_float=_float)
    except RecursionError:
        raise Wrong("is nested too deeply") from None
    except ValueError as exc:
        raise Wrong(f"is not JSON: {exc}") from None
    return value


def _no_number(text: str) -> NoReturn:
    raise Wrong(f"is not JSON: {text[:20]} is no number there")


def _float(text: str) -> float:
    found = float(text)
    return found if math.isfinite(found) else _no_number(text)


def _within(field: Field, value: float) -> bool:
    return (
        (field.least is None or value >= field.least)
        and (field.most is None or value <= field.most)
        and (field.kind != "integer" or abs(value) <= SAFE)
    )


def _has_default(field: Field) -> bool:
    return not isinstance(field.default, Absent) and field.default is not None


def _bound(schema: Schema, inclusive: str, exclusive: str, step: int, *, whole: bool) -> float | None:
    value, beyond = schema.get(inclusive), schema.get(exclusive)
    if isinstance(beyond, int | float) and not isinstance(beyond, bool):
        value = beyond + step if whole else beyond
    return value if isinstance(value, int | float) else None


def _resolved(part: JsonValue, root: Schema) -> Schema:
    """Behind references, and beside null: what a value has to be."""
    schema = dict(_mapping(part))
    for _ in range(16):
        if isinstance(schema.get("$ref"), str):
            schema = {**_referred(str(schema.pop("$ref")), root), **schema}
            continue
        kinds = _listed(schema.get("type"))
        if "null" in kinds and len(kinds) == 2:
            return {**schema, "type": next(kind for kind in kinds if kind != "null"), "x-nullable": True}
        choices = [choice for key in ("anyOf", "oneOf", "allOf") for choice in _listed(schema.get(key))]
        left = [choice for choice in choices if _mapping(choice).get("type") != "null"]
        if len(left) != 1:
            return schema
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "allOf")}
        schema = {**_mapping(left[0]), **rest, **({"x-nullable": True} if len(choices) > 1 else {})}
    return {}


def _referred(reference: str, root: Schema) -> Schema:
    found: JsonValue = root
    for name in reference.removeprefix("#/").split("/"):
        found = _mapping(found).get(name.replace("~1", "/").replace("~0", "~"))
    return dict(_mapping(found))


def _mapping(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
