"""What a request names a server by."""

from typing import Annotated

from pydantic import Field

from shared.errors import NotFound
from shared.payload import Payload

# Also one that no server can have is just not there.
AnyName = Annotated[str, Field(max_length=64)]


class Named(Payload):
    name: AnyName


def not_found(name: str) -> NotFound:
    return NotFound(f"no MCP server {name!r}")
