"""data: URLs (RFC 2397): the content lies in the URL itself."""

import base64
import binascii
from urllib.parse import unquote_to_bytes

from shared.errors import ToolError


def decoded(url: str) -> bytes:
    """Raises ToolError where it has no comma, or says base64 and is not."""
    head, comma, content = url.partition(",")
    if not comma:
        raise ToolError("a data: URL has a comma before its content, as in 'data:text/plain,hello'")
    raw = unquote_to_bytes(content)
    if not head.lower().endswith(";base64"):
        return raw
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        raise ToolError("the data: URL says base64, but its content is not") from None
