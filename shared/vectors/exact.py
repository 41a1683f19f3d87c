"""Scores, as every engine gives them: the higher, the nearer."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.ports.vector_engine import Metric


def scores(metric: "Metric", vectors: "NDArray[np.float32]", query: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Of each row of `vectors`. Those of a cosine space, and its queries, have length 1."""
    if metric == "l2":
        return np.asarray(1 / (1 + np.linalg.norm(vectors - query, axis=1)), np.float32)
    return np.asarray(vectors @ query, np.float32)
