"""everything/static_binary: for the conformance suite, bytes to read."""

import base64

from functions.agents.everything._image import tiny_image
from shared.function import resource


@resource("test://static-binary", mime_type="image/png", public=True, ttl_s=60)
async def static_binary() -> bytes:
    """A small image."""
    return base64.b64decode(tiny_image().data)
