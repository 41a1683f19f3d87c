"""everything/test_image_content: for the conformance suite, an image."""

from functions.agents.everything._image import tiny_image
from shared.content import Content
from shared.function import tool


@tool(effect="read", timeout_s=10)
async def test_image_content() -> Content:
    """Return a small image."""
    return Content(content=[tiny_image()])
