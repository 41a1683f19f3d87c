"""everything/get-annotated-message: content that says for whom it is and how much it matters."""

from typing import Literal

from pydantic import Field

from functions.agents.everything._image import tiny_image
from shared.content import Annotations, Content, TextContent
from shared.function import tool
from shared.payload import Payload

Kind = Literal["error", "success", "debug"]

_MESSAGES: dict[Kind, TextContent] = {
    "error": TextContent(
        text="Error: the operation failed",
        annotations=Annotations(audience=("user", "assistant"), priority=1.0),
    ),
    "success": TextContent(
        text="The operation succeeded",
        annotations=Annotations(audience=("user",), priority=0.7),
    ),
    "debug": TextContent(
        text="Debug: cache hit ratio 0.95, latency 150 ms",
        annotations=Annotations(audience=("assistant",), priority=0.3),
    ),
}
_OF_IMAGE = Annotations(audience=("user",), priority=0.5)


class GetAnnotatedMessage(Payload):
    message_type: Kind = Field(alias="messageType")
    include_image: bool = Field(default=False, alias="includeImage")


@tool(name="get-annotated-message", effect="read", timeout_s=5)
async def get_annotated_message(request: GetAnnotatedMessage) -> Content:
    """Return a message whose annotations fit its type; with includeImage, an annotated image too."""
    image = [tiny_image(_OF_IMAGE)] if request.include_image else []
    return Content(content=[_MESSAGES[request.message_type], *image])
