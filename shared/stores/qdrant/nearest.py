"""The best of rows that come page by page: no more of them is kept than is asked for."""

from typing import TYPE_CHECKING

import numpy as np

from shared.ports.vector_engine import Hit, Metric
from shared.vectors.exact import scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.ports.vector_engine import Matrix

    Scores = NDArray[np.float32]
    Numbers = NDArray[np.int64]


class Nearest:
    """Of each query the `top_k` best, equal scores by number."""

    def __init__(self, metric: Metric, queries: "Matrix", top_k: int) -> None:
        self._metric: Metric = metric
        self._queries = queries
        self._top_k = top_k
        self._best: list[tuple[Numbers, Scores]] = [
            (np.empty(0, np.int64), np.empty(0, np.float32)) for _ in range(len(queries))
        ]

    @property
    def hits(self) -> list[list[Hit]]:
        return [list(map(Hit, numbers.tolist(), found.tolist())) for numbers, found in self._best]

    def see(self, numbers: "Numbers", vectors: "Matrix") -> None:
        """Numbers that go upwards, from above all that came before."""
        for at, query in enumerate(self._queries):
            self._best[at] = self._joined(*self._best[at], numbers, _scores(self._metric, vectors, query))

    def _joined(
        self, held_numbers: "Numbers", held: "Scores", numbers: "Numbers", found: "Scores"
    ) -> tuple["Numbers", "Scores"]:
        if len(held) == self._top_k:
            # One that equals the last comes after it by its number.
            better = ~(found <= held[-1])
            numbers, found = numbers[better], found[better]
        if not len(found):
            return held_numbers, held
        together = np.concatenate((held, found))
        order = np.argsort(-together, kind="stable")[: self._top_k]
        return np.concatenate((held_numbers, numbers))[order], together[order]


def _scores(metric: Metric, vectors: "Matrix", query: "Scores") -> "Scores":
    if metric == "l2":
        return scores(metric, vectors, query)
    # BLAS adds up the last few rows in another order, so that of equal vectors some would score more than others.
    return np.asarray(np.einsum("ij,j->i", vectors, query), np.float32)
