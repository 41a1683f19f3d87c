"""Tools as MCP lists them, and what they answered as MCP says it."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel

from shared.endpoints import result_type
from shared.function import Icon, Log, Run, Spec
from shared.mcp.server import Offered
from shared.ports.tasks import Outcome
from shared.strict_json import dump

# What a parameter's schema says of the header that repeats it.
HEADER: Final = "x-mcp-header"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTENT: Final = b'{"content":'
_BLOCKS: Final = frozenset({"text", "image", "audio", "resource_link", "resource"})


@dataclass(slots=True)
class Said:
    """A call's answer, as JSON: blocks for models to read, and the same for programs where it is an object."""

    content: bytes
    structured: bytes | None
    is_error: bool


@dataclass(frozen=True)
class ActionTool:
    """One action as a tool; what its answers are like is decided once."""

    spec: Spec
    is_content: bool
    is_structured: bool
    offered: Offered

    @classmethod
    def of(cls, spec: Spec) -> "ActionTool":
        blocks = _block_types(result_type(spec))
        # Whoever gives media and no text has something to say to programs too.
        talks = any(port in (Run, Log) for port in spec.ports.values())
        offered = Offered(scope=spec.tool.scope, mirrored=_mirrored(spec), talks=talks)
        return cls(spec, bool(blocks), _is_object(result_type(spec)) and "text" not in blocks, offered)

    def said(self, outcome: Outcome) -> Said:
        if outcome.status != "succeeded":
            message = outcome.error.message if outcome.error else "the tool failed"
            return Said(_text(message.encode()), None, True)
        written = outcome.as_json()
        if written == b"null":
            return Said(b"[]", None, False)
        structured = written if self.is_structured else None
        if self.is_content:
            # The blocks are all that it holds.
            return Said(written[len(_CONTENT) : -1], structured, False)
        # A string is text already.
        text = b'[{"type":"text","text":%b}]' % written if written.startswith(b'"') else _text(written)
        return Said(text, structured, False)

    @property
    def definition(self) -> dict[str, Any]:
        from shared.manifests.schemas import input_schema, output_schema

        tool = self.spec.tool
        defined: dict[str, Any] = {
            "name": tool.name,
            "title": tool.title,
            "description": inspect.getdoc(self.spec.handler) or self.spec.summary,
            "inputSchema": _rooted(input_schema(self.spec)),
        }
        if self.is_structured:
            defined["outputSchema"] = _rooted(output_schema(self.spec))
        defined["annotations"] = {
            "title": tool.title,
            "readOnlyHint": tool.effect == "read",
            "destructiveHint": tool.destructive,
            "idempotentHint": tool.idempotent,
            "openWorldHint": tool.effect == "network",
        }
        return {**defined, **icons(tool.icons)}


def icons(given: tuple[Icon, ...]) -> dict[str, Any]:
    """As a member of what has them."""
    if not given:
        return {}
    return {"icons": [_icon(icon) for icon in given]}


def _icon(icon: Icon) -> dict[str, Any]:
    said: dict[str, Any] = {"src": icon.src, "mimeType": icon.mime_type, "sizes": list(icon.sizes) or None}
    return {name: value for name, value in said.items() if value is not None}


def _mirrored(spec: Spec) -> dict[bytes, str]:
    """Raises TypeError where clients would have to reject the tool."""
    found: dict[bytes, str] = {}
    fields = {} if spec.payload is None else spec.payload.model_fields
    for field, info in fields.items():
        extra = info.json_schema_extra
        name = extra.get(HEADER) if isinstance(extra, dict) else None
        if name is None:
            continue
        where = f"{spec.module}: {HEADER} of {field!r}"
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise TypeError(f"{where} is no name of a header: {name!r}")
        if not _stands_in_headers(info.annotation):
            raise TypeError(f"{where}: only text, whole numbers and booleans can stand in headers")
        header = f"mcp-param-{name}".lower().encode()
        if header in found:
            raise TypeError(f"{where} is that of {found[header]!r} already")
        found[header] = info.alias or field
    return found


def _stands_in_headers(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return all(isinstance(value, str) for value in get_args(annotation))
    return annotation in (str, int, bool)


def result_members(said: Said) -> bytes:
    structured = b"" if said.structured is None else b'"structuredContent":%b,' % said.structured
    return b'"content":%b,%b"isError":%b' % (said.content, structured, b"true" if said.is_error else b"false")


def error_members(message: str) -> bytes:
    return result_members(Said(_text(message.encode()), None, True))


def _text(text: bytes) -> bytes:
    return b'[{"type":"text","text":%b}]' % dump(text.decode())


def _rooted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """With an object at its root: the revisions with a handshake take no other."""
    definitions = schema.get("$defs", {})
    root = dict(schema)
    while reference := root.pop("$ref", None):
        root = {**definitions[reference.rpartition("/")[2]], **root}
    return {"type": "object", **root}


def _is_object(result: Any) -> bool:
    """Whether its JSON is an object whatever it holds."""
    if get_origin(result) in (Union, UnionType):
        return all(map(_is_object, get_args(result)))
    if get_origin(result) is dict or result is dict:
        return True
    if not inspect.isclass(result) or result is NoneType:
        return False
    if issubclass(result, RootModel):
        return _is_object(result.model_fields["root"].annotation)
    return issubclass(result, BaseModel)


def _block_types(result: Any) -> frozenset[str]:
    """The types of the content blocks that are all a result holds, if it is of that kind."""
    if not inspect.isclass(result) or not issubclass(result, BaseModel) or list(result.model_fields) != ["content"]:
        return frozenset()
    annotation = result.model_fields["content"].annotation
    if get_origin(annotation) not in (list, tuple):
        return frozenset()
    found: set[str] = set()
    for block in _alternatives(get_args(annotation)[0]):
        named = _names(block)
        if not named <= _BLOCKS or not named:
            return frozenset()
        found |= named
    return frozenset(found)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _names(block: Any) -> frozenset[str]:
    if not inspect.isclass(block) or not issubclass(block, BaseModel) or "type" not in block.model_fields:
        return frozenset()
    annotation = block.model_fields["type"].annotation
    return frozenset(get_args(annotation)) if get_origin(annotation) is Literal else frozenset()
