"""Objects of a cluster against schemas that know every field: a misspelt one is an error, as no API server says it.

The schemas of custom kinds are read from the folder that SUTAZAI_SCHEMAS names.
"""

import copy
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

Schema = dict[str, Any]
_VERSION = "1.37"


def folder() -> Path:
    """Skips the test, saying why, where nothing names it."""
    named = os.environ.get("SUTAZAI_SCHEMAS")
    if not named:
        pytest.skip("SUTAZAI_SCHEMAS names no folder with the schemas of Knative's and RabbitMQ's objects")
    return Path(named)


def errors(each: dict[str, Any]) -> list[str]:
    validator = _custom(folder()).get((str(each.get("apiVersion")), str(each.get("kind"))))
    if validator is not None:
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(each)]
    try:
        kubernetes_validate.validate(each, _VERSION, strict=True)
    except kubernetes_validate.ValidationError as exc:
        return [f"{'.'.join(map(str, exc.path))}: {exc.message[:200]}"]
    except kubernetes_validate.SchemaNotFoundError as exc:
        return [f"no schema is known: {exc}"]
    return []


@cache
def _custom(schemas: Path) -> dict[tuple[str, str], Any]:
    """Validators of the versions that are served, by apiVersion and kind."""
    found: dict[tuple[str, str], Any] = {}
    for path in sorted((schemas / "crds").glob("*.yaml")):
        for definition in yaml.safe_load_all(path.read_text()):
            if definition and definition["kind"] == "CustomResourceDefinition":
                found.update(_validators(definition["spec"]))
    assert found, f"no definition lies in {schemas}"
    return found


def _validators(spec: Schema) -> Iterator[tuple[tuple[str, str], Any]]:
    for version in spec["versions"]:
        if version.get("served", True):
            schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
            kinds = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
            schema["properties"] = {**schema.get("properties", {}), **kinds}
            checker = jsonschema.FormatChecker()
            validator = jsonschema.Draft202012Validator(_strict(schema), format_checker=checker)
            yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), validator


def _strict(schema: Schema) -> Schema:
    """As JSON Schema, in which an object has no field but those that are described."""
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    made = dict(schema)
    if made.pop("nullable", False) and "type" in made:
        made["type"] = [made["type"], "null"]
    for name in ("properties", "patternProperties"):
        if name in made:
            made[name] = {field: _strict(part) for field, part in made[name].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(made.get(name), dict):
            made[name] = _strict(made[name])
    closed = "additionalProperties" not in made and not made.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in made and closed:
        made["additionalProperties"] = False
    return made
