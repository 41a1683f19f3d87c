"""everything/dynamic-text: made-up text for any number."""

from pydantic import Field

from functions.agents.everything._demo import numbers, text_of
from shared.function import resource
from shared.payload import Payload


class DynamicText(Payload):
    resource_id: int = Field(ge=1, le=1_000_000_000, alias="resourceId")


@resource(
    "demo://resource/dynamic/text/{resourceId}",
    title="Dynamic text",
    mime_type="text/plain",
    ttl_s=60,
    public=True,
    complete={"resourceId": numbers},
)
async def dynamic_text(request: DynamicText) -> str:
    """The text of a number, the same each time."""
    return text_of(request.resource_id)
