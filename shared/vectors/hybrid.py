"""Two rankings as one, by reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009)."""

from collections.abc import Sequence

_K = 60
_BEST = 2 / (_K + 1)


def fused(dense: Sequence[int], lexical: Sequence[int]) -> list[tuple[int, float]]:
    """(number, score), best first, equal ones by number. The score is 1 for what both have first, and above 0."""
    found: dict[int, float] = {}
    for ranking in (dense, lexical):
        for rank, number in enumerate(ranking, start=1):
            found[number] = found.get(number, 0.0) + 1 / (_K + rank) / _BEST
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))
