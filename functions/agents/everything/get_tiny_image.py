"""everything/get-tiny-image: a picture between two texts."""

from functions.agents.everything._image import tiny_image
from shared.content import Content, TextContent
from shared.function import tool


@tool(name="get-tiny-image", effect="read", timeout_s=5)
async def get_tiny_image() -> Content:
    """Return a small PNG image, with a text before and after it."""
    before = TextContent(text="Here is the tiny image you asked for:")
    after = TextContent(text="The image above is a disc of 16 by 16 pixels.")
    return Content(content=[before, tiny_image(), after])
