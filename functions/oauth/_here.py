"""Who issues tokens for what is here."""

from typing import Final

from shared.catalog import OUTSIDE, agent_names
from shared.errors import NotFound
from shared.function import Call
from shared.identity import KEY_SCOPES
from shared.public_url import PublicUrl

# What clients get that ask for nothing: enough for every tool, also for those whose calls become tasks.
USUAL_SCOPES: Final = frozenset({"agents:execute", "tasks:read", "tasks:write"})
GRANTED: Final = KEY_SCOPES


def servers() -> tuple[str, ...]:
    """The MCP servers below the bridge."""
    return (*agent_names(), OUTSIDE)


def issuer_here(public: PublicUrl, call: Call) -> str:
    """This platform's own name as an issuer. Raises NotFound where it is not one, Forbidden for a strange host."""
    if public.outside_issuer is not None:
        raise NotFound(f"tokens are issued by {public.outside_issuer!r}")
    return public.of(call)
