"""everything/test_multiple_content_types: for the conformance suite, several kinds of content."""

from functions.agents.everything._image import tiny_image
from shared.content import Content, EmbeddedResource, TextContent, TextResource
from shared.function import tool


@tool(effect="read", timeout_s=10)
async def test_multiple_content_types() -> Content:
    """Return a text, an image and a resource."""
    said = '{"test":"data","value":123}'
    resource = TextResource(uri="test://mixed-content-resource", mime_type="application/json", text=said)
    intro = TextContent(text="Multiple content types test:")
    return Content(content=[intro, tiny_image(), EmbeddedResource(resource=resource)])
