"""Kong's declarative files against its schemas: entities, and the configuration of every plugin."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema

from tests.manifests.strict import folder

# deck wants a secret of everybody, Kong only of those who share one.
_DECK_ALONE = "'secret' is a required property"


def errors(document: dict[str, Any]) -> list[str]:
    entities, plugins = _schemas(str(folder()))
    found = [
        f"{error.json_path}: {error.message[:200]}"
        for error in jsonschema.Draft4Validator(entities).iter_errors(document)
        if not (error.message == _DECK_ALONE and "jwt_secrets" in error.json_path)
    ]
    for path, plugin in _plugins(document, "$"):
        found += [f"{path}({plugin['name']}){said}" for said in _of_plugin(plugin, plugins)]
    return found


def _of_plugin(plugin: dict[str, Any], schemas: dict[str, Any]) -> Iterator[str]:
    schema = schemas.get(plugin["name"])
    if schema is None:
        yield ": no such plugin"
        return
    config = plugin.get("config") or {}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(config):
        yield f"{error.json_path[1:]}: {error.message[:200]}"
    for name in config:
        if schema["properties"].get(name, {}).get("deprecated"):
            yield f".{name}: deprecated"


def _plugins(node: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "plugins":
                yield from ((f"{path}.plugins[{at}]", each) for at, each in enumerate(value))
            yield from _plugins(value, f"{path}.{name}")
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from _plugins(value, f"{path}[{at}]")


@cache
def _schemas(schemas: str) -> tuple[dict[str, Any], dict[str, Any]]:
    here = folder()
    entities = next(here.glob("*kong_json_schema.json")).read_text()
    plugins = next(here.glob("kong_*_plugin_config_jsonschema.json")).read_text()
    return json.loads(entities), json.loads(plugins)["plugins"]
