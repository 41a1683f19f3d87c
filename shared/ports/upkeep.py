"""What the keeper does to the record so that nothing is forgotten."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from shared.ports.bus import WakeUp


class Upkeep(Protocol):
    def active(self) -> AbstractAsyncContextManager[None]:
        """Waits until no other keeper is active; leaves by Unavailable when the record can no longer be reached."""

    async def claimable(self) -> list[WakeUp]:
        """One for each agent with tasks that could be claimed now; also writes the depths that accepting looks at."""

    async def make_due(self) -> Sequence[str]:
        """Ends back-offs whose time has come; returns the agents concerned."""

    async def clock(self) -> datetime:
        """The record's time. It is written down first, so that it waits wherever a worker's beat would."""

    async def reap(self, silent_at: datetime | None = None) -> Sequence[str]:
        """Takes back what workers held that were dead then, or are now; returns the agents concerned."""

    async def expire(self) -> int:
        """Ends all whose time is over, however many. Returns how many."""

    async def number(self) -> int:
        """Gives events their `seq`, in the order of their transactions, and hints `events`. Returns how many."""

    async def seal(self) -> int:
        """Chains and signs the audit lines that no transaction can still precede. Returns how many."""

    async def verify(self) -> int | None:
        """The first seal that does not hold, or None."""

    async def take_turn(self, name: str, every_s: float) -> bool:
        """True for one caller in `every_s` seconds, however many ask; from then on the time runs anew."""

    async def trim(self) -> Mapping[str, int]:
        """Deletes what is older than 30 days; the audit trail stays."""
