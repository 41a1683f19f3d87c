"""What servers outside say of their tools: data of strangers, cleaned and bounded before a model reads any of it."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from shared.ports.mcp_servers import Definition
from shared.strict_json import Json, dump

MOST_TOOLS: Final = 200
_MOST_PROBLEMS = 20
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,96}")
_TITLE, _DESCRIPTION, _WITHIN_SCHEMA = 200, 4000, 1000
_SCHEMA_BYTES, _SCHEMA_DEPTH = 64 * 1024, 24
_HINTS: Final = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
_HEADER: Final = "x-mcp-header"
_PROSE: Final = frozenset({"title", "description", "$comment"})


class Unfit(ValueError):
    """A tool cannot be offered; the message says why."""


def text(value: object, most: int) -> str:
    """Without what a reader cannot see: control, format and unassigned characters hide instructions from people."""
    if not isinstance(value, str):
        return ""
    kept = (
        character
        for character in unicodedata.normalize("NFC", value[: most * 4])
        if character in "\n\t" or unicodedata.category(character)[0] != "C"
    )
    cleaned = "".join(kept).strip()
    return cleaned if len(cleaned) <= most else f"{cleaned[: most - 1]}…"


def definitions(listed: Sequence[Json]) -> tuple[list[Definition], list[str]]:
    """Those that can be offered, and why the others cannot."""
    found: dict[str, Definition] = {}
    problems: list[str] = []
    for number, tool in enumerate(listed):
        name = tool.get("name") if isinstance(tool, dict) else None
        try:
            if number >= MOST_TOOLS:
                raise Unfit(f"only {MOST_TOOLS} tools of a server are taken")
            if not isinstance(tool, dict) or not isinstance(name, str) or not _NAME.fullmatch(name):
                raise Unfit("its name is none that a tool can have here")
            if name in found:
                raise Unfit("there are two of this name")
            found[name] = _definition(name, tool)
        except Unfit as exc:
            if len(problems) < _MOST_PROBLEMS:
                problems.append(f"{text(name, 100) or f'tool {number + 1}'}: {exc}")
    return list(found.values()), problems


def _definition(name: str, tool: Mapping[str, Json]) -> Definition:
    cleaned: dict[str, Json] = {
        "name": name,
        "title": text(tool.get("title"), _TITLE) or name,
        "description": text(tool.get("description"), _DESCRIPTION),
        "inputSchema": _schema(tool.get("inputSchema"), "inputSchema"),
    }
    if tool.get("outputSchema") is not None:
        cleaned["outputSchema"] = _schema(tool["outputSchema"], "outputSchema")
    hints = tool.get("annotations")
    if isinstance(hints, dict):
        # A server's word for what it does. Whatever it says, calls of it reach the outside.
        said: dict[str, Json] = {hint: hints[hint] for hint in _HINTS if isinstance(hints.get(hint), bool)}
        cleaned["annotations"] = {**said, "openWorldHint": True}
    return Definition(name=name, definition=cleaned, digest=digest(cleaned))


def digest(definition: Mapping[str, Json]) -> bytes:
    """The same for the same members in whatever order."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True, separators=(",", ":")).encode()).digest()


def _schema(schema: Json, what: str) -> dict[str, Json]:
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise Unfit(f"{what} is not the schema of an object")
    if len(dump(schema)) > _SCHEMA_BYTES:
        raise Unfit(f"{what} is larger than {_SCHEMA_BYTES} bytes")
    cleaned = _cleaned(schema, what, 0)
    assert isinstance(cleaned, dict)
    return {**cleaned, "type": "object"}


def _cleaned(value: Json, what: str, depth: int) -> Json:
    if depth > _SCHEMA_DEPTH:
        raise Unfit(f"{what} is nested deeper than {_SCHEMA_DEPTH}")
    if isinstance(value, dict):
        cleaned: dict[str, Json] = {}
        for key, item in value.items():
            if key != text(key, _TITLE):
                raise Unfit(f"{what} has a name that cannot be shown")
            if key in ("$ref", "$dynamicRef") and not (isinstance(item, str) and item.startswith("#")):
                raise Unfit(f"{what} refers to what lies elsewhere")
            is_prose = isinstance(item, str) and key in _PROSE
            cleaned[key] = text(item, _WITHIN_SCHEMA) if is_prose else _cleaned(item, what, depth + 1)
        return cleaned
    if isinstance(value, list):
        return [_cleaned(item, what, depth + 1) for item in value]
    # It means something to programs, so it is left as it is or not at all.
    if isinstance(value, str) and any(unicodedata.category(c)[0] == "C" and c not in "\n\t\r" for c in value):
        raise Unfit(f"{what} has a value that cannot be shown")
    return value


def shown(definition: Mapping[str, Json], name: str) -> dict[str, Json]:
    """A definition as callers of the bridge see it: without the headers that only its own server asks for."""
    return {**{key: _without_headers(value) for key, value in definition.items()}, "name": name}


def _without_headers(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _without_headers(item) for key, item in value.items() if key != _HEADER}
    return [_without_headers(item) for item in value] if isinstance(value, list) else value


def mirrored(definition: Mapping[str, Json], arguments: Mapping[str, Json]) -> dict[str, str]:
    """The arguments that the server wants to see in headers too, by header."""
    schema = definition.get("inputSchema")
    return dict(_mirrored(schema, dict(arguments))) if isinstance(schema, dict) else {}


def _mirrored(schema: Mapping[str, Json], given: Json) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not isinstance(given, dict):
        return found
    for key, declared in properties.items():
        if not isinstance(declared, dict) or (value := given.get(key)) is None:
            continue
        if isinstance(header := declared.get(_HEADER), str) and isinstance(value, str | int):
            written = str(value).lower() if isinstance(value, bool) else str(value)
            found.append((f"mcp-param-{header.lower()}", written))
        found += _mirrored(declared, value)
    return found
