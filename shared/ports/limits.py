"""How often a caller may ask: tiers, and what is left of one."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.errors import RateLimited


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Requests an hour (None: as many as come), how many of them at once, and WebSockets at a time."""

    per_hour: int | None
    burst: int
    sockets: int


TIERS = {
    "free": Tier(per_hour=100, burst=10, sockets=1),
    "basic": Tier(per_hour=1000, burst=50, sockets=5),
    "pro": Tier(per_hour=10_000, burst=200, sockets=20),
    "enterprise": Tier(per_hour=None, burst=1000, sockets=100),
}


def tier_of(name: str) -> Tier:
    """A tier that is not in the table is the smallest."""
    return TIERS.get(name) or TIERS["free"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a caller has after one more request; `limit` counts an hour, `remaining` what may come at once.

    `reset_after_s`: until the whole burst is back. `retry_after_s`: until the next request is admitted.
    """

    admitted: bool
    limit: int
    remaining: int
    reset_after_s: float
    retry_after_s: float = 0.0

    def refusal(self, message: str) -> RateLimited:
        """What one who is not admitted is told."""
        return RateLimited(
            message,
            limit=self.limit,
            remaining=self.remaining,
            retry_after=self.retry_after_s,
            reset_after=self.reset_after_s,
        )


class Limits(Protocol):
    """One bucket per user, whatever they ask for: no more than burst + rate x t of it passes in any t."""

    async def take(self, who: UUID | str, tier: str) -> Quota | None:
        """`who`: a user's id, or `address-` and the network of one who has not said. None where nothing is limited."""

    async def calls(self, who: UUID, what: str, per_minute: int) -> Quota:
        """As `take`, of a bucket that a user has for one tool; `limit` counts a minute."""

    def sockets(self, tier: str) -> int:
        """How many WebSockets one user may have at a time."""
