"""Messages between processes, to whoever waits under a name, wherever that is."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Mailbox(Protocol):
    async def receive(self) -> bytes:
        """The next message; waits for it."""


class Mailboxes(Protocol):
    def opened(self, name: str) -> AbstractAsyncContextManager[Mailbox]:
        """One box for each name; names are up to 100 characters of A-Z, a-z, 0-9, `-` and `_`."""

    async def send(self, name: str, content: bytes, *, within_s: float = 5.0) -> bool:
        """Whether somebody took it; once at most. False where nobody has the box, or none can be reached."""
