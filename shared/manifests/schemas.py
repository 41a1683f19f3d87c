"""JSON Schemas (2020-12) of what functions take and give."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from shared.endpoints import result_type
from shared.function import Spec
from shared.strict_json import DEPTH

Schema = dict[str, Any]
Use = tuple[str, Literal["takes", "gives"]]

REF = "#/components/schemas/{model}"
_REF = REF.format(model="")
_NO_NUL = r"^[^\x00]*$"
_INT64 = (-(1 << 63), (1 << 63) - 1)
# Stands for any JSON until the schema has its place, as one that refers to itself needs its own name.
_ANY: Schema = {"x-any-json": True}


class _Untitled(GenerateJsonSchema):
    """A title that only repeats a name says nothing."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


class _AsServed(_Untitled):
    """Requests as they are taken: no NUL, no number beyond 64 bits. Answers as they are given: whole."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        made = super().str_schema(schema)
        return {"pattern": _NO_NUL, **made} if self.mode == "validation" else made

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        made = super().int_schema(schema)
        if self.mode == "validation":
            made = {**({} if "exclusiveMinimum" in made else {"minimum": _INT64[0]}), **made}
            made = {**({} if "exclusiveMaximum" in made else {"maximum": _INT64[1]}), **made}
        return made

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        made = super().dict_schema(schema)
        return {"propertyNames": {"pattern": _NO_NUL}, **made} if self.mode == "validation" else made

    def any_schema(self, schema: core_schema.AnySchema) -> JsonSchemaValue:
        return dict(_ANY) if self.mode == "validation" else super().any_schema(schema)


def input_schema(spec: Spec) -> Schema:
    """Of a tool's parameters. Shared between calls: not to be changed."""
    return _input(spec.payload)


def output_schema(spec: Spec) -> Schema:
    """Of a tool's result, in which what is None is left out. Shared between calls: not to be changed."""
    return _output(result_type(spec))


@cache
def _input(payload: type[BaseModel] | None) -> Schema:
    if payload is None:
        return {"type": "object", "additionalProperties": False}
    return payload.model_json_schema(by_alias=True, schema_generator=_Untitled)


@cache
def _output(result: Any) -> Schema:
    schema = TypeAdapter(result).json_schema(by_alias=True, mode="serialization", schema_generator=_Untitled)
    definitions = schema.get("$defs", {})
    for part in (schema, *definitions.values()):
        _loosen(part, definitions)
    return schema


def _loosen(schema: Schema, definitions: Mapping[str, Schema]) -> None:
    optional = {name for name, part in schema.get("properties", {}).items() if _admits_null(part, definitions, set())}
    if required := [name for name in schema.get("required", ()) if name not in optional]:
        schema["required"] = required
    else:
        schema.pop("required", None)


def _admits_null(schema: Schema, definitions: Mapping[str, Schema], seen: set[str]) -> bool:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return name not in seen and _admits_null(definitions[name], definitions, seen | {name})
    if parts := schema.get("anyOf") or schema.get("oneOf"):
        return any(_admits_null(part, definitions, seen) for part in parts)
    if "const" in schema or "enum" in schema:
        return None in (schema.get("enum") or [schema["const"]])
    return bool(schema.get("type", "null") == "null")


def component_schemas(types: Mapping[Use, Any]) -> tuple[dict[Use, Schema], dict[str, Schema]]:
    """One schema for each type, and the components that they refer to, under names that nothing else has."""
    modes: dict[str, JsonSchemaMode] = {"takes": "validation", "gives": "serialization"}
    wanted = [(use, modes[use[1]], TypeAdapter(wanted)) for use, wanted in types.items()]
    schemas, shared = TypeAdapter.json_schemas(wanted, by_alias=True, ref_template=REF, schema_generator=_AsServed)
    components: dict[str, Schema] = shared.get("$defs", {})
    for name, schema in components.items():
        if schema == _ANY:
            components[name] = _any_json(name)
    return {use: schema for (use, _), schema in schemas.items()}, components


def _any_json(name: str) -> Schema:
    itself = {"$ref": _REF + name}
    return {
        "description": f"Any JSON, nested up to {DEPTH} deep.",
        "anyOf": [
            {"type": ["null", "boolean"]},
            {"type": "number", "minimum": _INT64[0], "maximum": _INT64[1]},
            {"type": "string", "pattern": _NO_NUL},
            {"type": "array", "items": itself},
            {"type": "object", "propertyNames": {"pattern": _NO_NUL}, "additionalProperties": itself},
        ],
    }


def resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """The schema itself where this one only refers to a component."""
    return components[schema["$ref"].removeprefix(_REF)] if "$ref" in schema else schema


def used(roots: object, components: Mapping[str, Schema]) -> dict[str, Schema]:
    """The components that something refers to, directly or through others."""
    found: dict[str, Schema] = {}
    waiting = list(_references(roots))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = components[name]
            waiting.extend(_references(components[name]))
    return dict(sorted(found.items()))


def _references(part: object) -> Iterable[str]:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(_REF):
            yield reference.removeprefix(_REF)
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from _references(item)
