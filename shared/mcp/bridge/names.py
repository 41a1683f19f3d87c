"""Names that stay unique however many servers there are: each begins with its owner's."""

from typing import Final

from shared.ports.mcp_servers import SEPARATOR

# A scheme may hold a plus, and no owner's name does, so what is made of a URI is one again, and can be taken apart.
_PLUS: Final = "+"


def joined(owner: str, name: str) -> str:
    return f"{owner}{SEPARATOR}{name}"


def parted(name: str) -> tuple[str, str]:
    """Owner and name; no owner where there is none."""
    owner, separator, own = name.partition(SEPARATOR)
    return (owner, own) if separator else ("", name)


def joined_uri(owner: str, uri: str) -> str:
    return f"{owner}{_PLUS}{uri}"


def parted_uri(uri: str) -> tuple[str, str]:
    owner, separator, own = uri.partition(_PLUS)
    return (owner, own) if separator else ("", uri)
