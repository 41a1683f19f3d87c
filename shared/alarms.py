"""Timers of which nearly none ever rings: setting one and dropping it costs a tenth of what the loop's own do."""

import asyncio
from collections.abc import Callable


class Alarms:
    """All alarms of one loop behind one timer, which looks again at the time of the earliest it has seen."""

    __slots__ = ("_due", "_handle", "_waiting", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: dict[object, tuple[float, Callable[[], None]]] = {}
        self._due = float("inf")
        self._handle: asyncio.TimerHandle | None = None

    def set(self, owner: object, seconds: float, ring: Callable[[], None]) -> None:
        """One for each owner, which is told apart by identity or equality."""
        due = self.loop.time() + seconds
        self._waiting[owner] = (due, ring)
        if due < self._due:
            self._look_at(due)

    def drop(self, owner: object) -> None:
        self._waiting.pop(owner, None)

    def _look_at(self, due: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._due = due
        self._handle = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._due, self._handle = float("inf"), None
        now = self.loop.time()
        ringing = [(owner, ring) for owner, (due, ring) in self._waiting.items() if due <= now]
        for owner, ring in ringing:
            # The one before may have dropped it.
            if self._waiting.pop(owner, None) is not None:
                ring()
        if self._waiting:
            self._look_at(min(due for due, _ in self._waiting.values()))


_latest: Alarms | None = None


def alarms(loop: asyncio.AbstractEventLoop) -> Alarms:
    """A process has one loop at a time, but for tests; what an earlier one still waited for has ended with it."""
    global _latest
    if _latest is None or _latest.loop is not loop:
        _latest = Alarms(loop)
    return _latest
