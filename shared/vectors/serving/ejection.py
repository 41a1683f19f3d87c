"""How an engine has fared: one that fails again and again is asked after all others for a while."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ejection:
    """For `ejected_s` after `most` failures in a row; the next failure begins it again, a success ends it.

    Unlike a breaker it refuses nothing: where no other engine is left, this one is asked.
    """

    most: int
    ejected_s: float
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    _until: float = field(default=0.0, repr=False)

    @property
    def lasts(self) -> bool:
        return self.failures >= self.most and self.clock() < self._until

    def succeeded(self) -> None:
        self.failures = 0

    def failed(self) -> None:
        self.failures += 1
        self._until = self.clock() + self.ejected_s
