"""What a long-running function answers at the port of its process, beside the probes."""

from typing import Protocol

from shared.asgi import Receive, Scope, Send


class Behind(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Door:
    """Shut from the start for a function that has one: until it opens it, its process is not ready."""

    def __init__(self) -> None:
        self.behind: Behind | None = None
        self.is_shut = False

    def open(self, behind: Behind) -> None:
        """From now on every request but the probes' is `behind`'s."""
        self.behind = behind
        self.is_shut = False

    def shut(self) -> None:
        """Nothing is answered, and the process says that it is not ready."""
        self.behind = None
        self.is_shut = True
