"""everything/test_embedded_resource: for the conformance suite, a resource inside an answer."""

from shared.content import Content, EmbeddedResource, TextResource
from shared.function import tool


@tool(effect="read", timeout_s=10)
async def test_embedded_resource() -> Content:
    """Return a resource, whole."""
    said = "This is an embedded resource content."
    return Content(content=[EmbeddedResource(resource=TextResource(uri="test://embedded-resource", text=said))])
