"""What is remembered of the sessions of MCP clients from before 2026; most of it lies in their handles."""

from dataclasses import dataclass
from typing import Protocol

from shared.function import LogLevel


@dataclass(frozen=True, slots=True)
class Remembered:
    """`level`: from which weight on the client wants to hear."""

    ended: bool = False
    level: LogLevel | None = None


class McpSessions(Protocol):
    """Shared by all replicas while the cache is there; without it, each knows what it was told itself."""

    async def recall(self, session: str) -> Remembered:
        """At most a second old where another replica was told."""

    async def remember(self, session: str, what: Remembered, *, ttl_s: int) -> None: ...
