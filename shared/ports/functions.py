"""Functions that are reached over HTTP, by their deployed names."""

from typing import Protocol

from events.base import Envelope


class Functions(Protocol):
    async def send(self, name: str, event: Envelope, *, timeout_s: float) -> None:
        """Returns once the function has answered that it is done.

        Raises Unavailable where the event should come again, and Refused where it never may.
        """


class Refused(Exception):
    """The function will never take this event."""
