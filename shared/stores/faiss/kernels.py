"""FAISS as it is used here: single-threaded, on rows that are marked, and with one way of computing a distance."""

import os
from typing import TYPE_CHECKING

# Threads that wait for work must not burn the other core: read when the library is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import faiss
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from shared.ports.vector_engine import Matrix, Metric

# One in so many rows: below, FAISS is told which they are, and above, it looks each up in a bitmap.
_SPARSE = 8


def single_threaded() -> None:
    """For the thread that calls it: OpenMP counts for each its own."""
    faiss.omp_set_num_threads(1)


def kind_of(metric: "Metric") -> int:
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


class Flat:
    """Vectors in FAISS's own memory; `vectors` looks into it, and nothing of it may outlive this."""

    def __init__(self, vectors: "Matrix", metric: "Metric") -> None:
        count, dimension = vectors.shape
        self.metric = metric
        self.index = faiss.IndexFlat(dimension, kind_of(metric))
        self.index.add(np.ascontiguousarray(vectors, np.float32))
        if count:
            held = faiss.rev_swig_ptr(self.index.get_xb(), count * dimension)
            self.vectors: Matrix = held.reshape(count, dimension)
        else:
            self.vectors = np.empty((0, dimension), np.float32)
        self.vectors.flags.writeable = False
        self.longest = float(np.sqrt(np.einsum("ij,ij->i", self.vectors, self.vectors).max())) if count else 0.0

    def nearest(
        self, queries: "Matrix", count: int, among: "NDArray[np.bool_] | None"
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Distances as FAISS has them, which in a batch are rounded otherwise than one by one, and rows."""
        if among is None:
            return self.index.search(queries, count)
        rows = np.flatnonzero(among)
        selector: faiss.IDSelector
        if len(rows) * _SPARSE < len(among):
            selector = faiss.IDSelectorArray(rows)
        else:
            selector = faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))  # type: ignore[call-arg,arg-type]
        return self.index.search(queries, count, params=faiss.SearchParameters(sel=selector))  # type: ignore[call-arg]

    def scores(self, queries: "Matrix", rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of each query its own rows; the same vector has the same score wherever it lies. Row -1: minus infinity."""
        distances = np.empty(rows.shape, np.float32)
        self.index.compute_distance_subset(  # type: ignore[attr-defined]
            len(queries), faiss.swig_ptr(queries), rows.shape[1], faiss.swig_ptr(distances), faiss.swig_ptr(rows)
        )
        found = self.scored(distances)
        if self.metric == "l2":
            found[rows < 0] = -np.inf
        return found

    def scored(self, distances: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.metric != "l2":
            return distances
        return np.asarray(1 / (1 + np.sqrt(np.maximum(distances, 0))), np.float32)
