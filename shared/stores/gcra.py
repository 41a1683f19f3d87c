"""The generic cell rate algorithm, and what one process remembers of it. All times are microseconds.

A bucket is one number: the theoretical arrival time (TAT), by which all that was admitted would have come at the
sustained rate. A request is admitted when that lies less than a burst ahead, so in any t at most burst + rate x t are.
"""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """One request per `interval_us` in the long run, up to `burst` of them at once."""

    interval_us: int
    burst: int

    @property
    def depth_us(self) -> int:
        return self.interval_us * self.burst

    def share(self, parts: int) -> "Plan":
        """What each of several buckets may let pass, so that all of them together keep to the plan."""
        return Plan(self.interval_us * parts, self.burst // parts)

    def take(self, tat: int, now: int) -> tuple[bool, int]:
        """Whether a request is admitted, and the bucket's TAT from then on."""
        # A TAT beyond a full debt comes from a clock that went back.
        tat = min(tat, now + self.depth_us)
        after = max(tat, now) + self.interval_us
        return (True, after) if after - now <= self.depth_us else (False, tat)


class Memory:
    """The buckets that a process knows. One it does not know it takes for as full as any it has forgotten.

    `since`: from when on it saw everything; what was admitted before may have filled every bucket then.
    """

    def __init__(self, since: int, size: int) -> None:
        self._since = since
        self._size = size
        self._tats: OrderedDict[str, int] = OrderedDict()
        self._forgotten = 0
        # The highest TAT among those forgotten that nobody else knows either.
        self._owed = 0

    def learn(self, key: str, tat: int, *, alone: bool) -> None:
        """`alone`: nobody but this process knows of it."""
        self._tats[key] = tat
        self._tats.move_to_end(key)
        if len(self._tats) > self._size:
            _, forgotten = self._tats.popitem(last=False)
            self._forgotten = max(self._forgotten, forgotten)
            if alone:
                self._owed = self._forgotten

    def floor(self, key: str) -> int:
        """What a store that may have lost its memory must not fall below."""
        return self._tats.get(key) or self._owed

    def take(self, key: str, plan: Plan, now: int) -> tuple[bool, int]:
        known = self._tats.get(key)
        tat = known if known is not None else max(self._since + plan.depth_us, self._forgotten)
        admitted, tat = plan.take(tat, now)
        self.learn(key, tat, alone=True)
        return admitted, tat

    def shift(self, by: int) -> None:
        """The clock that all of it is measured by was another than thought."""
        self._tats = OrderedDict((key, tat + by) for key, tat in self._tats.items())
        self._since += by
        self._forgotten += by
        self._owed += by
