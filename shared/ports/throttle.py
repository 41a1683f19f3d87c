"""Slows down whoever guesses passwords, before a password is hashed."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID


class Attempt(Protocol):
    """One check of a password."""

    def belongs_to(self, user_id: UUID) -> None:
        """The password was right: where it came from is known for this login from now on."""


class Throttle(Protocol):
    def attempt(self, login: str, *, place: str) -> AbstractAsyncContextManager[Attempt]:
        """Around the check; Unauthorized or Conflict leaving it is a failure, anything else takes nothing.

        `login`: what was given for a name, or "" where only the place counts. `place`: an address, or a session's id.
        Waits a second at most. Raises RateLimited.
        """
