"""everything/get-resource-reference: a resource inside an answer."""

from typing import Literal

from pydantic import Field

from functions.agents.everything._demo import blob_resource, text_resource
from shared.content import Content, EmbeddedResource, TextContent
from shared.function import tool
from shared.payload import Payload


class GetResourceReference(Payload):
    resource_type: Literal["Text", "Blob"] = Field(default="Text", alias="resourceType")
    resource_id: int = Field(default=1, ge=1, le=1_000_000_000, alias="resourceId")


@tool(name="get-resource-reference", effect="read", timeout_s=5)
async def get_resource_reference(request: GetResourceReference) -> Content:
    """Return one demonstration resource, whole, between two texts that say what it is."""
    make = text_resource if request.resource_type == "Text" else blob_resource
    resource = make(request.resource_id)
    before = TextContent(text=f"Here is resource {request.resource_id}:")
    after = TextContent(text=f"It can be read again as {resource.uri}")
    return Content(content=[before, EmbeddedResource(resource=resource), after])
