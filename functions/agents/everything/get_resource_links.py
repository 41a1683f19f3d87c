"""everything/get-resource-links: links to resources, without their content."""

from pydantic import Field

from functions.agents.everything._demo import link
from shared.content import Content, TextContent
from shared.function import tool
from shared.payload import Payload


class GetResourceLinks(Payload):
    count: int = Field(default=3, ge=1, le=10)


@tool(name="get-resource-links", effect="read", timeout_s=5)
async def get_resource_links(request: GetResourceLinks) -> Content:
    """Return as many links to demonstration resources as asked for, texts and blobs in turn."""
    intro = TextContent(text=f"Here are {request.count} links to resources of this server:")
    return Content(content=[intro, *(link(number) for number in range(1, request.count + 1))])
