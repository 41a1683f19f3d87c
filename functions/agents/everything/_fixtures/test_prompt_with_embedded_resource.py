"""everything/test_prompt_with_embedded_resource: for the conformance suite, a prompt with a resource."""

from pydantic import Field

from shared.content import EmbeddedResource, PromptMessage, TextContent, TextResource
from shared.function import prompt
from shared.payload import Payload


class TestPromptWithEmbeddedResource(Payload):
    resource_uri: str = Field(alias="resourceUri", description="URI of the resource to embed")


@prompt()
async def test_prompt_with_embedded_resource(request: TestPromptWithEmbeddedResource) -> list[PromptMessage]:
    """A resource, and what to do with it."""
    resource = TextResource(uri=request.resource_uri, text="Embedded resource content for testing.")
    said = TextContent(text="Please process the embedded resource above.")
    return [PromptMessage(content=EmbeddedResource(resource=resource)), PromptMessage(content=said)]
