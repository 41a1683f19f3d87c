"""Where somebody wants to be told of the end of a task."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

# Printable ASCII that all parsers read alike: a name or an address, perhaps a port, no userinfo and no fragment.
_URL = r'^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-"$-\[\]-~]*)?$'


def _with_port(url: str) -> str:
    """Raises ValueError for a port or an IPv6 address that cannot be one."""
    if urlsplit(url).port == 0:
        raise ValueError("no port is 0")
    return url


CallbackUrl = Annotated[str, Field(max_length=2048, pattern=_URL), AfterValidator(_with_port)]
