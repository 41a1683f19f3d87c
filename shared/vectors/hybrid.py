"""Two rankings as one, by reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009)."""

from collections.abc import Sequence

K = 60
DENSE, LEXICAL = 1.0, 1.0


def fused(
    dense: Sequence[int], lexical: Sequence[int], *, weights: tuple[float, float] = (DENSE, LEXICAL), k: int = K
) -> list[tuple[int, float]]:
    """(number, score), best first, equal ones by number. The score is 1 for what both have first, and above 0."""
    found: dict[int, float] = {}
    best = sum(weights) / (k + 1)
    for ranking, weight in zip((dense, lexical), weights, strict=True):
        for rank, number in enumerate(ranking, start=1):
            found[number] = found.get(number, 0.0) + weight / (k + rank) / best
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))
