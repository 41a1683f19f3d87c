"""Where agents answer MCP."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """`addresses` (host:port), the one to be tried first in front; each serves `path`.

    `host`: the name that it goes by there, None for the one that the caller used. `vouched`: it is another machine,
    where a caller goes by our word and not by their own token.
    """

    addresses: Sequence[str]
    path: str
    host: str | None = None
    vouched: bool = False


class AgentServers(Protocol):
    def place(self, agent: str) -> Place:
        """Looked up anew for each request, since processes come and go."""
