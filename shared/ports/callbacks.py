"""Those who asked to be called once a task has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from events.base import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """One call that is due. `event` says how the task ended, in the same words at every attempt.

    `url` is None where it cannot be read any more. `peer` stands for its host and port.
    """

    user_id: UUID
    execution_id: UUID
    url: str | None = field(repr=False)
    peer: bytes
    attempts: int
    held_until: datetime
    event: Envelope


class Callbacks(Protocol):
    async def lease(self, limit: int, *, per_peer: int, busy: Sequence[bytes], lease_s: float) -> list[Callback]:
        """The longest due, nobody else's until the lease has passed; then they are due again.

        `busy` names the peer of every call that is under way, so that no peer gets more than `per_peer` at once.
        """

    async def done(self, callback: Callback) -> None:
        """It was received, or nobody wants it any more."""

    async def put_off(self, callback: Callback, delay_s: float) -> None:
        """An attempt failed. Changes nothing where the lease has passed on."""

    async def is_held(self, callback: Callback) -> bool:
        """Whether the lease is still the one it was given with."""

    async def give_up(self, callback: Callback) -> None:
        """Not due any more, until its dead letter is replayed. Changes nothing where the lease has passed on."""
