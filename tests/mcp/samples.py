"""Arguments that a tool takes, made from its schema."""

from collections.abc import Mapping
from typing import Any

# What they do depends on a client that answers.
ASKING = frozenset({"get-roots-list", "trigger-elicitation-request", "trigger-sampling-request"})
# Where the defaults take long or reach out.
_CHOSEN: Mapping[str, Mapping[str, Any]] = {
    "gzip-file-as-resource": {"data": "data:text/plain,hello"},
    "trigger-long-running-operation": {"duration": 0.1, "steps": 1},
}


def arguments_for(tool: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is required and nothing else."""
    properties = schema.get("properties", {})
    made = {name: _sample(properties[name], schema.get("$defs", {})) for name in schema.get("required", ())}
    return {**made, **_CHOSEN.get(tool, {})}


def _sample(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    if reference := schema.get("$ref"):
        return _sample(definitions[reference.rpartition("/")[2]], definitions)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _sample(schema[key][0], definitions)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    return _of_type(schema, definitions)


def _of_type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: _sample(properties[name], definitions) for name in schema.get("required", ())}
        case "array":
            return [_sample(schema.get("items", {}), definitions) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case "null":
            return None
    if schema.get("format") == "uuid":
        return "00000000-0000-4000-8000-000000000001"
    return "x" * max(1, schema.get("minLength", 1))
