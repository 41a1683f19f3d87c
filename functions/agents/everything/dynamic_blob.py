"""everything/dynamic-blob: made-up bytes for any number."""

from pydantic import Field

from functions.agents.everything._demo import blob_of, numbers
from shared.function import resource
from shared.payload import Payload


class DynamicBlob(Payload):
    resource_id: int = Field(ge=1, le=1_000_000_000, alias="resourceId")


@resource(
    "demo://resource/dynamic/blob/{resourceId}",
    title="Dynamic blob",
    mime_type="application/octet-stream",
    ttl_s=60,
    public=True,
    complete={"resourceId": numbers},
)
async def dynamic_blob(request: DynamicBlob) -> bytes:
    """The bytes of a number, the same each time."""
    return blob_of(request.resource_id)
