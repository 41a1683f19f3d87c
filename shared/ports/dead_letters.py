"""Events that a consumer refused for good."""

from typing import Protocol

from events.base import Envelope


class DeadLetters(Protocol):
    async def refuse(self, consumer: str, event: Envelope, *, reason: str, error: str, attempts: int = 1) -> None:
        """Keep the event and why it died; the same event refused again by the same consumer is kept once."""
