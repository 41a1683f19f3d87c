"""What the actions answer: blocks of content, as MCP names them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Annotations(_Part):
    """For whom a block is, and how much it matters: 1 is most, 0 is least."""

    audience: tuple[Literal["user", "assistant"], ...]
    priority: float = Field(ge=0, le=1)


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


class ResourceLink(_Part):
    type: Literal["resource_link"] = "resource_link"
    uri: str
    name: str
    description: str | None = None
    mime_type: str = Field(serialization_alias="mimeType")
    size_bytes: int | None = Field(default=None, serialization_alias="size")


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


class Content(_Part):
    content: list[TextContent | ImageContent | ResourceLink | EmbeddedResource]


def text(said: str) -> Content:
    """An answer that is one text."""
    return Content(content=[TextContent(text=said)])
