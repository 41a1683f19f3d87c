"""Failures that fade, and how long each keeps the next attempt waiting. Times are microseconds."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """After `free` failures each one doubles the wait, from `first_us` up to `longest_us`; one fades per `fade_us`."""

    free: int
    fade_us: int
    first_us: int
    longest_us: int

    def wait(self, level: float) -> int:
        # Rounded: a burst must not lose a whole failure to the instant that has faded since.
        over = int(level + 0.5) - self.free
        return 0 if over < 0 else min(self.longest_us, self.first_us << min(over, 40))


class Failures:
    """What one process has seen itself."""

    def __init__(self, size: int) -> None:
        self._size = size
        # How many failures there were at a time.
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def enter(self, rules: Mapping[str, Rule], now: int) -> int:
        """How long to wait; 0 counts a failure, which `take_back` undoes."""
        for key, rule in rules.items():
            level, at = self._seen.get(key, (0.0, now))
            if (left := at + rule.wait(level) - now) > 0:
                return left
        for key, rule in rules.items():
            level, at = self._seen.pop(key, (0.0, now))
            self._seen[key] = (max(0.0, level - (now - at) / rule.fade_us) + 1, now)
        while len(self._seen) > self._size:
            self._seen.popitem(last=False)
        return 0

    def take_back(self, keys: Sequence[str]) -> None:
        for key in keys:
            level, at = self._seen.pop(key, (0.0, 0))
            if level > 1:
                self._seen[key] = (level - 1, at)

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)
