"""everything/test_prompt_with_image: for the conformance suite, a prompt with an image."""

from functions.agents.everything._image import tiny_image
from shared.content import PromptMessage, TextContent
from shared.function import prompt


@prompt()
async def test_prompt_with_image() -> list[PromptMessage]:
    """An image, and what to do with it."""
    said = TextContent(text="Please analyze the image above.")
    return [PromptMessage(content=tiny_image()), PromptMessage(content=said)]
