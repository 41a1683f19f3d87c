"""Tools as MCP lists them, and what they answered as MCP says it."""

import base64
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, RootModel

from shared.endpoints import result_type
from shared.function import Spec
from shared.ports.tasks import Outcome
from shared.strict_json import dump

PAGE: Final = 100
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

    @classmethod
    def of(cls, spec: Spec) -> "ActionTool":
        blocks = _block_types(result_type(spec))
        # Whoever gives media and no text has something to say to programs too.
        return cls(spec, bool(blocks), _is_object(result_type(spec)) and "text" not in blocks)

    def said(self, outcome: Outcome) -> Said:
        if outcome.status != "succeeded":
            message = outcome.error.message if outcome.error else "the tool failed"
            return Said(_text(message.encode()), None, True)
        result = outcome.result
        if result is None:
            return Said(b"[]", None, False)
        written = outcome.as_json()
        structured = written if self.is_structured else None
        if self.is_content and isinstance(result, dict):
            # Where the blocks are all that it holds, they stand in what was written.
            content = written[len(_CONTENT) : -1] if len(result) == 1 else dump(result["content"])
            return Said(content, structured, False)
        text = result.encode() if isinstance(result, str) else written
        return Said(_text(text), structured, False)

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
        return defined


class ToolList:
    """The tools of one server, in order of name; a cursor says after which name a page begins."""

    def __init__(self, tools: Sequence[ActionTool], *, page: int = PAGE) -> None:
        self._tools = sorted(tools, key=lambda tool: tool.spec.tool.name)
        self._page = page
        self.by_name = {tool.spec.tool.name: tool for tool in self._tools}

    def page(self, cursor: str | None) -> bytes | None:
        """`"tools":[...]`, with the cursor of the page after it. None for a cursor that is none of ours."""
        return self._pages.get(cursor)

    @cached_property
    def _pages(self) -> Mapping[str | None, bytes]:
        # When the list is first asked for: schemas cost a replica that is only called milliseconds.
        pages: dict[str | None, bytes] = {}
        cursor: str | None = None
        for start in range(0, max(len(self._tools), 1), self._page):
            tools = self._tools[start : start + self._page]
            written = b'"tools":' + dump([tool.definition for tool in tools])
            following = None
            if start + self._page < len(self._tools):
                following = base64.urlsafe_b64encode(tools[-1].spec.tool.name.encode()).decode().rstrip("=")
                written += b',"nextCursor":' + dump(following)
            pages[cursor] = written
            cursor = following
        return pages


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
