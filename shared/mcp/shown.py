"""Resources and prompts as MCP lists them, and what reading them gives."""

import base64
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter

from shared.content import BlobResource, PromptMessage, TextContent, TextResource
from shared.function import Completer, Spec
from shared.mcp.templates import Template
from shared.mcp.tools import icons
from shared.payload import from_texts
from shared.strict_json import Json, dump

# A client shows no more.
MOST_SUGGESTIONS: Final = 100
# Built when the first is read, for most are never.
_LATER: Final = ConfigDict(defer_build=True)
_CONTENTS: Final[TypeAdapter[list[TextResource | BlobResource]]] = TypeAdapter(
    list[TextResource | BlobResource], config=_LATER
)
_MESSAGES: Final[TypeAdapter[list[PromptMessage]]] = TypeAdapter(list[PromptMessage], config=_LATER)


class ShownResource:
    """One resource, or all that a template names. Raises TypeError where template and payload differ."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.shown = spec.resource
        self._template = Template(self.shown.uri)
        fields = {} if spec.payload is None else spec.payload.model_fields
        if {info.alias or name for name, info in fields.items()} != set(self._template.names):
            raise TypeError(f"{spec.module}: {self.shown.uri!r} and the payload name different fields")
        if self.shown.listed and len(self._template.names) != 1:
            raise TypeError(f"{spec.module}: what is listed are values of one field")

    @property
    def is_template(self) -> bool:
        return bool(self._template.names) and not self.shown.listed

    def payload(self, uri: str) -> "tuple[BaseModel, ...] | None":
        """What the handler takes first; None for a URI of another resource. Raises Invalid."""
        values = self._template.values(uri)
        if values is None:
            return None
        return () if self.spec.payload is None else (from_texts(self.spec.payload, values),)

    @property
    def definitions(self) -> list[tuple[str, dict[str, Json]]]:
        """By URI."""
        if not self.shown.listed:
            return [(self.shown.uri, self._definition(self.shown.uri, self.shown.name, self.shown.title))]
        uris = {self._template.filled(value): value for value in self.shown.listed}
        return [(uri, self._definition(uri, value, f"{self.shown.title}: {value}")) for uri, value in uris.items()]

    def _definition(self, uri: str, name: str, title: str) -> dict[str, Json]:
        shown = self.shown
        annotations: dict[str, Json] = {"audience": [*shown.audience]} if shown.audience else {}
        if shown.priority is not None:
            annotations["priority"] = shown.priority
        said: dict[str, Json] = {
            "uriTemplate" if self.is_template else "uri": uri,
            "name": name,
            "title": title,
            "description": _described(self.spec),
            "mimeType": shown.mime_type,
        }
        return {**said, **({"annotations": annotations} if annotations else {}), **icons(shown.icons)}

    def members(self, uri: str, given: Any) -> bytes:
        return b'"contents":' + dump(self._contents(uri, given))

    @property
    def hints(self) -> bytes:
        scope = b"public" if self.shown.public else b"private"
        return b'"ttlMs":%d,"cacheScope":"%b"' % (self.shown.ttl_s * 1000, scope)

    def _contents(self, uri: str, given: Any) -> Json:
        if isinstance(given, str):
            return [{"uri": uri, "mimeType": self.shown.mime_type, "text": given}]
        if isinstance(given, bytes):
            return [{"uri": uri, "mimeType": self.shown.mime_type, "blob": base64.b64encode(given).decode()}]
        several: list[Any] = list(given) if isinstance(given, Sequence) else [given]
        return _CONTENTS.dump_python(several, mode="json", by_alias=True, exclude_none=True)  # type: ignore[no-any-return]


class ShownPrompt:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.shown = spec.prompt

    @property
    def definition(self) -> dict[str, Json]:
        arguments: list[Json] = [*self._arguments()]
        said: dict[str, Json] = {
            "name": self.shown.name,
            "title": self.shown.title,
            "description": _described(self.spec),
        }
        return {**said, **({"arguments": arguments} if arguments else {}), **icons(self.shown.icons)}

    def _arguments(self) -> list[dict[str, Json]]:
        fields = {} if self.spec.payload is None else self.spec.payload.model_fields
        return [
            {
                "name": info.alias or field,
                **({"title": info.title} if info.title else {}),
                **({"description": info.description} if info.description else {}),
                "required": info.is_required(),
            }
            for field, info in fields.items()
        ]

    def payload(self, arguments: Mapping[str, str]) -> "tuple[BaseModel, ...]":
        """Raises Invalid."""
        return () if self.spec.payload is None else (from_texts(self.spec.payload, arguments),)

    def members(self, given: Any) -> bytes:
        several = given
        if isinstance(given, str):
            several = [PromptMessage(content=TextContent(text=given))]
        messages = _MESSAGES.dump_python(several, mode="json", by_alias=True, exclude_none=True)
        return b'"description":%b,"messages":%b' % (dump(_described(self.spec)), dump(messages))


def completed(complete: Mapping[str, Completer], name: str, value: str, known: Mapping[str, str]) -> bytes:
    """Of an argument that nobody has suggestions for, there are none."""
    found = list(complete[name](value, known)) if name in complete else []
    values: list[Json] = [*found[:MOST_SUGGESTIONS]]
    return b'"completion":' + dump({"values": values, "total": len(found), "hasMore": len(found) > len(values)})


def _described(spec: Spec) -> str:
    return inspect.getdoc(spec.handler) or spec.summary
