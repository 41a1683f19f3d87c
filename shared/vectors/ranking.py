"""The order of hits: the best first, and of equal ones that of the lower number."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from shared.ports.vector_engine import Hit, Metric
from shared.vectors.exact import scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.ports.vector_engine import Matrix


def ordered(hits: Iterable[Hit]) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.score, hit.number))


def best(metric: Metric, numbers: Sequence[int], vectors: "Matrix", query: "NDArray[np.float32]", k: int) -> list[Hit]:
    """Of vectors that lie in memory, every one compared."""
    if not numbers:
        return []
    found = scores(metric, vectors, query)
    order = np.lexsort((np.asarray(numbers), -found))[:k]
    return [Hit(numbers[place], float(found[place])) for place in order]
