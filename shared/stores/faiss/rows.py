"""Points in columns, never changed once they are made; which of them still hold is said elsewhere."""

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Metadata, Metric, Point
from shared.stores.faiss.codes import Codes
from shared.stores.faiss.columns import Bitmap, Columns
from shared.stores.faiss.kernels import Flat
from shared.stores.faiss.strings import Strings

if TYPE_CHECKING:
    from shared.ports.vector_engine import Matrix
    from shared.vectors.filters import Filter

# The filters that were asked for last: their bitmaps hold for as long as the rows do.
_BITMAPS = 16


class Rows:
    """In order of number, each once. `codes`: where there are so many that comparing all is too slow."""

    def __init__(
        self,
        *,
        metric: Metric,
        numbers: NDArray[np.int64],
        seqs: NDArray[np.int64],
        created_at: NDArray[np.float64],
        vectors: "Matrix",
        ids: Strings,
        metadata: Strings,
        texts: Strings,
    ) -> None:
        self.metric: Metric = metric
        self.numbers = numbers
        self.seqs = seqs
        self.created_at = created_at
        self.flat = Flat(vectors, metric)
        self.ids = ids
        self.metadata = metadata
        self.texts = texts
        self.codes: Codes | None = None
        self._columns: Columns | None = None
        self._bitmaps: dict[str, Bitmap] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, points: Sequence[Point], dimension: int, metric: Metric) -> Self:
        """All of them have a vector, and no two a number."""
        ordered = sorted(points, key=lambda point: point.number)
        vectors = np.empty((len(ordered), dimension), np.float32)
        for row, point in enumerate(ordered):
            vectors[row] = point.vector
        return cls(
            metric=metric,
            numbers=np.array([point.number for point in ordered], np.int64),
            seqs=np.array([point.seq for point in ordered], np.int64),
            created_at=np.array([point.created_at for point in ordered], np.float64),
            vectors=vectors,
            ids=Strings.of(point.vector_id for point in ordered),
            metadata=Strings.of(json.dumps(dict(point.metadata), separators=(",", ":")) for point in ordered),
            texts=Strings.of(point.text or "" for point in ordered),
        )

    @classmethod
    def merged(cls, parts: "Sequence[tuple[Rows, Bitmap]]", dimension: int, metric: Metric) -> Self:
        """Of each part, of which there is one at least, the rows that are marked; no number is marked twice."""
        kept = [(rows, np.flatnonzero(marked)) for rows, marked in parts]
        numbers = np.concatenate([rows.numbers[at] for rows, at in kept])
        order = np.argsort(numbers)
        return cls(
            metric=metric,
            numbers=numbers[order],
            seqs=np.concatenate([rows.seqs[at] for rows, at in kept])[order],
            created_at=np.concatenate([rows.created_at[at] for rows, at in kept])[order],
            vectors=_in_order([(rows.flat.vectors, at) for rows, at in kept], order, dimension),
            ids=_strings([(rows.ids, at) for rows, at in kept], order),
            metadata=_strings([(rows.metadata, at) for rows, at in kept], order),
            texts=_strings([(rows.texts, at) for rows, at in kept], order),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def has_columns(self) -> bool:
        return self._columns is not None

    @property
    def columns(self) -> Columns:
        """Built when first asked for; two that ask at once build the same."""
        if self._columns is None:
            self._columns = Columns(map(json.loads, self.metadata.each()), self.created_at)
        return self._columns

    @property
    def size_bytes(self) -> int:
        arrays = (self.numbers, self.seqs, self.created_at, self.flat.vectors)
        return (
            sum(array.nbytes for array in arrays)
            + sum(strings.size_bytes for strings in (self.ids, self.metadata, self.texts))
            + (self.codes.size_bytes if self.codes else 0)
            + (self._columns.size_bytes if self._columns else 0)
            + sum(bitmap.nbytes for bitmap in self._bitmaps.copy().values())
        )

    def passing(self, filter: "Filter") -> Bitmap:
        # To Python 1 is True, and so are filters with the one and the other; written down they differ.
        written = repr(filter)
        found = self._bitmaps.get(written)
        if found is None:
            found = self.columns.passing(filter)
            found.flags.writeable = False
            with self._lock:
                self._bitmaps[written] = found
                if len(self._bitmaps) > _BITMAPS:
                    del self._bitmaps[next(iter(self._bitmaps))]
        return found

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each number, -1 where there is none."""
        if not len(self.numbers):
            return np.full(len(numbers), -1)
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[at] == numbers, at, -1)

    def point(self, row: int) -> Point:
        """Without its text."""
        metadata: Metadata = json.loads(self.metadata[row])
        return Point(
            number=int(self.numbers[row]),
            vector_id=self.ids[row],
            seq=int(self.seqs[row]),
            vector=self.flat.vectors[row].copy(),
            metadata=metadata,
            created_at=float(self.created_at[row]),
        )


_Kept = NDArray[np.int64]


def _in_order(each: "Sequence[tuple[Matrix, _Kept]]", order: _Kept, dimension: int) -> "Matrix":
    """Each vector is moved once: there is no room for all of them twice."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    vectors = np.empty((len(order), dimension), np.float32)
    began = 0
    for some, at in each:
        vectors[place[began : began + len(at)]] = some[at]
        began += len(at)
    return vectors


def _strings(each: Sequence[tuple[Strings, _Kept]], order: _Kept) -> Strings:
    found = [some[row] for strings, at in each for some in (strings.each(),) for row in at.tolist()]
    return Strings.joined([found[at] for at in order.tolist()])
