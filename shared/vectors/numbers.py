"""Vectors as callers send them, as numbers that engines compare."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import Invalid
from shared.ports.vectors import Kept


def comparable(given: Sequence[float], collection: Kept, *, what: str) -> NDArray[np.float32]:
    """Of length 1 where the metric is cosine. Raises Invalid, which names `what`."""
    if len(given) != collection.dimension:
        raise Invalid(f"{what} has {len(given)} numbers, and {collection.name!r} takes {collection.dimension}")
    with np.errstate(over="ignore"):
        vector = np.array(given, np.float32)
    if not np.isfinite(vector).all():
        raise Invalid(f"{what} has numbers that 32 bits cannot hold")
    return unit(vector, what=what) if collection.metric == "cosine" else vector


def unit(vector: NDArray[np.float32], *, what: str) -> NDArray[np.float32]:
    """Raises Invalid where all of it is 0: that has no direction."""
    exact = vector.astype(np.float64)
    length = np.linalg.norm(exact)
    if length == 0:
        raise Invalid(f"{what} is all zeros, which the metric cosine cannot compare")
    return (exact / length).astype(np.float32)
