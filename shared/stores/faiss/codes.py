"""Short codes of vectors: all of a hundred thousand are looked at in a quarter of a millisecond, and the best of
them compared exactly.

Measured with 384 dimensions, one thread and k=10. 15k: PQ96x4fs with refinement .9994 recall at 84 us, HNSW32 .988 at
135 us. 30k: 1.0 at 113 us against .9995 at 131 us; but the graph took 5.0 s to build instead of 0.8 s, weighs 272 bytes
a vector instead of 48, cannot forget and loses its recall under filters. 100k: .84 with 160 candidates, .98 with 320 at
0.4 ms (exactly: 13 ms). How many it takes depends on the vectors, so each base measures it for itself.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self, cast

import faiss
import numpy as np
from numpy.typing import NDArray

from shared.stores.faiss.kernels import Flat, kind_of

if TYPE_CHECKING:
    from shared.ports.vector_engine import Matrix

LEAST_DIMENSIONS: Final = 32
DEEPEST: Final = 4096
_SAMPLE: Final = 40
_GROWTH: Final = 2
_TRAINED_ON: Final = 8192
# Of what the exact search finds, on rows of the base and beside them; what is asked for may lie a little otherwise.
_RECALL: Final = 0.995
_MARGIN: Final = 1.5
# For each of the results: as many candidates are compared at least.
_LEAST: Final = 16
_TOP_K: Final = 10


class Codes:
    """`depth`: how many candidates hold the best ten. `trained_for`: of so many vectors the codes were chosen."""

    def __init__(self, index: faiss.IndexPQFastScan, flat: Flat, depth: int, trained_for: int) -> None:
        self.index = index
        # Where the codes are of a few more numbers than the vectors, FAISS cannot join them.
        self._refined = faiss.IndexRefine(index, flat.index) if index.d == flat.index.d else None
        self.depth = depth
        self.trained_for = trained_for

    @classmethod
    def of(cls, flat: Flat, before: "Codes | None" = None) -> "Codes | None":
        """None where no depth that pays gives the recall: then everything is compared.

        Codes that were chosen `before` for half as many vectors still do, unless it takes much more depth now.
        """
        count, dimension = flat.vectors.shape
        if dimension < LEAST_DIMENSIONS:
            return None
        if before and before.index.d >= dimension and count <= _GROWTH * before.trained_for:
            index = cast(faiss.IndexPQFastScan, faiss.clone_index(before.index))
            index.reset()
            depth = _filled(index, flat)
            if depth is not None and depth <= _GROWTH * before.depth * max(1.0, count / int(before.index.ntotal)):
                return cls(index, flat, depth, before.trained_for)
        index = _trained(flat)
        depth = _filled(index, flat)
        return None if depth is None else cls(index, flat, depth, count)

    @classmethod
    def read(cls, written: bytes, depth: int, flat: Flat) -> Self:
        """Of bytes that were written by `written`. Raises ValueError where they are of other vectors."""
        try:
            index = faiss.deserialize_index(np.frombuffer(written, np.uint8))
        except RuntimeError as exc:
            raise ValueError("no index of FAISS") from exc
        count, dimension = flat.vectors.shape
        if (
            not isinstance(index, faiss.IndexPQFastScan)
            or (index.ntotal, index.d) != (count, _padded_to(dimension, _width(dimension)))
            or index.metric_type != kind_of(flat.metric)
            or not 0 < depth <= DEEPEST
        ):
            raise ValueError("an index of other vectors")
        return cls(index, flat, depth, count)

    def written(self) -> bytes:
        return faiss.serialize_index(self.index).tobytes()

    @property
    def size_bytes(self) -> int:
        return int(self.index.ntotal) * ((int(self.index.pq.M) + 1) // 2)

    def depth_for(self, top_k: int) -> int:
        """Further down the list neighbours lie closer together, and fewer of each are needed."""
        return self.depth if top_k <= _TOP_K else self.depth + (top_k - _TOP_K) * max(_LEAST, self.depth // _TOP_K // 2)

    def nearest(
        self, queries: "Matrix", top_k: int, *, spare: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Distances and rows of the best and of a few more, which are looked for no deeper. None where it cannot be."""
        if self._refined is None:
            return None
        count, wanted = len(queries), top_k + spare
        distances, rows = np.empty((count, wanted), np.float32), np.empty((count, wanted), np.int64)
        # What `search` calls, less what it checks again each time.
        self._refined.search_c(  # type: ignore[attr-defined]
            count,
            faiss.swig_ptr(queries),
            wanted,
            faiss.swig_ptr(distances),
            faiss.swig_ptr(rows),
            _looking_at(self.depth_for(top_k), wanted),
        )
        return distances, rows

    def candidates(self, queries: "Matrix", count: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.index.search(_padded(queries, self.index.d), count)[1]
        return found


@lru_cache(maxsize=256)
def _looking_at(depth: int, top_k: int) -> faiss.IndexRefineSearchParameters:
    # Half of one more, so that no rounding takes one away.
    return faiss.IndexRefineSearchParameters(k_factor=(depth + 0.5) / top_k)  # type: ignore[call-arg]


def _trained(flat: Flat) -> faiss.IndexPQFastScan:
    count, dimension = flat.vectors.shape
    width = _width(dimension)
    padded = _padded_to(dimension, width)
    index = faiss.IndexPQFastScan(padded, padded // width, 4, kind_of(flat.metric))
    index.train(_padded(flat.vectors[_some(count, _TRAINED_ON)], padded))
    return index


def _filled(index: faiss.IndexPQFastScan, flat: Flat) -> int | None:
    """With all vectors; the depth that it takes."""
    for start in range(0, len(flat.vectors), _TRAINED_ON):
        index.add(_padded(flat.vectors[start : start + _TRAINED_ON], index.d))
    return _depth(index, flat)


def _some(count: int, most: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(count).choice(count, min(most, count), replace=False))


def _depth(index: faiss.IndexPQFastScan, flat: Flat) -> int | None:
    chosen = np.random.default_rng(len(flat.vectors))
    rows = flat.vectors[_some(len(flat.vectors), _SAMPLE)]
    beside = rows + chosen.standard_normal(rows.shape, np.float32) * (flat.longest / 4 / rows.shape[1] ** 0.5)
    if flat.metric == "cosine":
        beside /= np.linalg.norm(beside, axis=1, keepdims=True)
    queries = np.concatenate([rows, np.asarray(beside, np.float32)])
    exact = flat.nearest(queries, _TOP_K, None)[1]
    deepest = min(DEEPEST, len(flat.vectors))
    found = index.search(_padded(queries, index.d), deepest)[1]
    meets = found[:, None, :] == exact[:, :, None]
    places = np.where(meets.any(axis=2), meets.argmax(axis=2), DEEPEST)
    needed = int(np.quantile(places, _RECALL) * _MARGIN) + 1
    return None if needed > deepest else max(needed, _LEAST * _TOP_K)


def _width(dimension: int) -> int:
    """How many numbers share four bits: with few of them, a vector would be left too few."""
    return 4 if dimension >= 256 else 2 if dimension >= 64 else 1


def _padded_to(dimension: int, width: int) -> int:
    return -(-dimension // width) * width


def _padded(vectors: "Matrix", dimension: int) -> "Matrix":
    missing = dimension - vectors.shape[1]
    return np.pad(vectors, ((0, 0), (0, missing))) if missing else np.ascontiguousarray(vectors)
