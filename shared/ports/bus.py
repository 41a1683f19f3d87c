"""What carries wake-ups to agents and domain events to their consumers."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from events.base import Envelope

Handle = Callable[[Envelope], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class WakeUp:
    """Up to `wanted` tasks of an agent can be claimed. It may come twice, late or never: nothing depends on it.

    `priority` is the highest among them where that is known. It orders wake-ups; tasks are ordered when claimed.
    """

    agent: str
    wanted: int
    priority: int = 0


class Bus(Protocol):
    async def wake(self, wake_ups: Sequence[WakeUp]) -> None:
        """Returns once the transport has taken them all. Raises Unavailable."""

    async def relay(self) -> None:
        """Carries the record's numbered events that were not carried yet, in order. Only the active keeper calls it.

        Returns once the transport has taken them all. Raises Unavailable.
        """

    async def make_up(self) -> None:
        """Sees to what the transport has lost or could not deliver. Only the active keeper calls it.

        Raises Unavailable.
        """

    def waking(self, agents: Collection[str], heard: Callable[[WakeUp], None]) -> AbstractAsyncContextManager[None]:
        """Calls `heard` for each wake-up of these agents."""

    async def pass_on(self, agent: str) -> None:
        """This process has no room for more of an agent's tasks, and another may have. Never raises."""

    async def consume(self, consumer: str, type: str, handle: Handle) -> None:
        """Hands each event of a type to `handle`, at least once and in order, until cancelled.

        Unavailable from `handle` brings the event again after a back-off; after the last attempt it is a dead letter.
        """
