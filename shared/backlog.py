"""What has come and is not done: nobody is let in who would wait for longer than it is worth."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from shared.errors import Busy

# So many are always let in. What passes between fewer says how many have come, and not how many can be done.
LEAST: Final = 64
# Of the newest so many, about, the time is what the next are expected to take; fewer say nothing yet.
REMEMBERED: Final = 50


class Backlog:
    """The wait is by Little's law: for each of those who are in, as long as passes between those that are done."""

    def __init__(self, what: str, *, most_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._most_s = most_s
        self._clock = clock
        self._inside = 0
        self._each_s = 0.0
        self._seen = 0
        self._last_at = 0.0

    @contextmanager
    def entered(self, count: int = 1) -> Iterator[None]:
        """With so many at once. Raises Busy."""
        wait_s = self._inside * self._each_s
        if self._inside >= LEAST and self._seen >= REMEMBERED and wait_s > self._most_s:
            raise Busy(f"too many {self._what} are waiting", retry_after=wait_s)
        if not self._inside:
            self._seen, self._each_s, self._last_at = 0, 0.0, self._clock()
        self._inside += count
        try:
            yield
        finally:
            self._leave(count)

    def _leave(self, count: int) -> None:
        now = self._clock()
        # Of those who are done all at once the last ones count too, with fewer left inside.
        if self._inside >= LEAST // 2:
            self._seen = min(self._seen + count, REMEMBERED)
            newest = min(1.0, count / self._seen)
            self._each_s += newest * ((now - self._last_at) / count - self._each_s)
        self._inside -= count
        self._last_at = now
