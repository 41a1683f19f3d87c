"""What goes on after a request has been read: answers in pieces, and sockets."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """An answer without an envelope, each piece sent as it comes; `pieces` is closed when the client leaves."""

    pieces: AsyncGenerator[bytes, None]
    content_type: str = "text/event-stream"
    status: int = 200


class Closed(Exception):
    """Ends a connection: its close code, and a reason that the client is told."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class Connection(Protocol):
    """One socket, from our side. What is sent leaves in the order of the calls."""

    async def receive(self) -> str:
        """The next text frame. Raises Closed for a binary one, and Disconnected."""

    async def send(self, text: str) -> None:
        """Waits until there is room: for what the client asked for. Raises Closed when it stops reading."""

    def push(self, text: str) -> None:
        """Never waits: for what the client did not ask for. A client that lags too far behind is dropped with 1013."""

    def close(self, code: int, reason: str = "") -> None:
        """Ends the handler's call, from wherever it is called."""
