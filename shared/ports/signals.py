"""Hints between processes: cheap, unordered, and sometimes lost."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

Channel = Literal["accepted", "wake", "ended", "cancelled", "events", "mailbox", "vectors"]


class Signals(Protocol):
    def send(self, channel: Channel, payload: str) -> None:
        """Soon, together with others, equal ones once. Never raises: whoever needs the fact polls for it too."""

    def listening(self, channel: Channel, heard: Callable[[str | None], None]) -> AbstractAsyncContextManager[None]:
        """Calls `heard` with each payload, and with None when some may have been missed."""
