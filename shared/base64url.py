"""Base64url without padding (RFC 4648, 5), in the one spelling that is ever written."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def written(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def read(text: str) -> bytes:
    """Raises ValueError for what `written` cannot have made."""
    data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    # The decoder skips what it does not know, and looks at no bits to spare.
    if written(data) != text:
        raise ValueError("not unpadded base64url")
    return data
