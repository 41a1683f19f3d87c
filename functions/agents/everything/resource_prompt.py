"""everything/resource-prompt: a prompt that holds a resource."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from functions.agents.everything._demo import blob_resource, numbers, text_resource
from shared.content import EmbeddedResource, PromptMessage, TextContent
from shared.function import prompt
from shared.payload import Payload


def _types(value: str, known: Mapping[str, str]) -> list[str]:
    return [kind for kind in ("Text", "Blob") if kind.lower().startswith(value.lower())]


class ResourcePrompt(Payload):
    resource_type: Literal["Text", "Blob"] = Field(alias="resourceType", description="Text or Blob")
    resource_id: int = Field(ge=1, le=1_000_000_000, alias="resourceId", description="A whole number from 1 on")


@prompt(name="resource-prompt", complete={"resourceType": _types, "resourceId": numbers})
async def resource_prompt(request: ResourcePrompt) -> list[PromptMessage]:
    """Talk about a demonstration resource, which comes with the prompt."""
    make = text_resource if request.resource_type == "Text" else blob_resource
    said = f"This prompt includes the {request.resource_type} resource {request.resource_id}. Please analyze it:"
    embedded = EmbeddedResource(resource=make(request.resource_id))
    return [PromptMessage(content=TextContent(text=said)), PromptMessage(content=embedded)]
