"""What the keeper does to the record so that nothing is forgotten."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from shared.ports.bus import WakeUp


class Upkeep(Protocol):
    def active(self) -> AbstractAsyncContextManager[None]:
        """Waits until no other keeper is active; leaves by Unavailable when the record can no longer be reached."""

    async def claimable(self) -> list[WakeUp]:
        """One for each agent with tasks that could be claimed now; also writes the depths that accepting looks at."""

    async def make_due(self) -> Sequence[str]:
        """Ends back-offs whose time has come; returns the agents concerned."""

    async def reap(self) -> Sequence[str]:
        """Takes back what dead workers held; returns the agents concerned."""

    async def expire(self) -> int: ...

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
