"""Who is let through: so many requests at once to each upstream, so that a slow one holds up no other."""

from collections import Counter
from typing import Final

from shared.errors import Unavailable

AT_ONCE: Final = 512


class Scheduler:
    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self.running: Counter[str] = Counter()

    def enter(self, upstream: str) -> None:
        """Raises Unavailable where there is no room. Each that enters has to leave."""
        if self.running[upstream] >= self._at_once:
            raise Unavailable(f"{upstream!r} has {self._at_once} requests already; try again in a moment")
        self.running[upstream] += 1

    def leave(self, upstream: str) -> None:
        self.running[upstream] -= 1
