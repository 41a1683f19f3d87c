"""What has gone through the bridge of this process, by upstream."""

from collections import defaultdict
from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """`failed`: no whole answer came back. `refused`: it was not even asked."""

    requests: int = 0
    failed: int = 0
    refused: int = 0
    seconds: float = 0.0


class Metrics:
    def __init__(self) -> None:
        self.by_upstream: defaultdict[str, Tally] = defaultdict(Tally)

    def answered(self, upstream: str, seconds: float) -> None:
        tally = self.by_upstream[upstream]
        tally.requests += 1
        tally.seconds += seconds

    def failed(self, upstream: str, seconds: float) -> None:
        self.answered(upstream, seconds)
        self.by_upstream[upstream].failed += 1

    def refused(self, upstream: str) -> None:
        self.by_upstream[upstream].refused += 1

    def summary(self) -> str | None:
        """In one line; None where nothing has gone through this process."""
        tallies = self.by_upstream.values()
        if not tallies:
            return None
        asked, failed = sum(tally.requests for tally in tallies), sum(tally.failed for tally in tallies)
        mean_ms = 1000 * sum(tally.seconds for tally in tallies) / max(asked, 1)
        refused = sum(tally.refused for tally in tallies)
        return f"{asked} requests, {failed} failed, {refused} refused, {mean_ms:.1f} ms on average"
