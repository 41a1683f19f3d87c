"""Blocks of content as MCP names them: what actions answer, prompts say, and resources hold."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Annotations(_Part):
    """For whom a block is, how much it matters (1 is most, 0 is least), and when it was changed last (RFC 3339)."""

    audience: tuple[Literal["user", "assistant"], ...] | None = None
    priority: float | None = Field(default=None, ge=0, le=1)
    last_modified: str | None = Field(default=None, serialization_alias="lastModified")


class TextContent(_Part):
    type: Literal["text"] = "text"
    text: str
    annotations: Annotations | None = None


class ImageContent(_Part):
    """`data` is base64."""

    type: Literal["image"] = "image"
    data: str
    mime_type: str = Field(serialization_alias="mimeType")
    annotations: Annotations | None = None


class AudioContent(_Part):
    """`data` is base64."""

    type: Literal["audio"] = "audio"
    data: str
    mime_type: str = Field(serialization_alias="mimeType")
    annotations: Annotations | None = None


class ResourceLink(_Part):
    type: Literal["resource_link"] = "resource_link"
    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = Field(default=None, serialization_alias="mimeType")
    size_bytes: int | None = Field(default=None, serialization_alias="size")
    annotations: Annotations | None = None


class TextResource(_Part):
    uri: str
    mime_type: str = Field(default="text/plain", serialization_alias="mimeType")
    text: str


class BlobResource(_Part):
    """`blob` is base64."""

    uri: str
    mime_type: str = Field(default="application/octet-stream", serialization_alias="mimeType")
    blob: str


class EmbeddedResource(_Part):
    type: Literal["resource"] = "resource"
    resource: TextResource | BlobResource
    annotations: Annotations | None = None


Block = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource


class Content(_Part):
    content: list[Block]


class PromptMessage(_Part):
    role: Literal["user", "assistant"] = "user"
    content: Block


def text(said: str) -> Content:
    """An answer that is one text."""
    return Content(content=[TextContent(text=said)])
