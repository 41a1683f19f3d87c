"""How somebody elsewhere fares, as seen from here: who fails again and again is left alone for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import Unavailable

FAILURES = 5
# A process of ours is back within seconds; one that starts from zero is waited for by whoever stands before it.
OPEN_S = 5.0


@dataclass(slots=True)
class Breaker:
    """After `most` failures in a row nothing passes for `open_s`; then one request does, and decides for the others."""

    name: str
    most: int = FAILURES
    open_s: float = OPEN_S
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    _open_until: float = field(default=0.0, repr=False)
    _probing: bool = field(default=False, repr=False)

    @property
    def is_open(self) -> bool:
        return self.failures >= self.most

    def admit(self) -> None:
        """Raises Unavailable, with the time to wait."""
        if self.failures < self.most:
            return
        left_s = self._open_until - self.clock()
        if left_s > 0 or self._probing:
            wait_s = max(1, round(left_s))
            raise Unavailable(f"{self.name!r} does not answer now; try again in {wait_s} s", retry_after=wait_s)
        self._probing = True

    def succeeded(self) -> None:
        self.failures, self._probing = 0, False

    def failed(self) -> None:
        self.failures += 1
        self._probing = False
        if self.failures >= self.most:
            self._open_until = self.clock() + self.open_s

    def left(self) -> None:
        """Whoever asked went away first: that says nothing."""
        self._probing = False
