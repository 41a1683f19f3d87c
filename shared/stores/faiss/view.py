"""What a space holds at one moment. Never changed: a search goes on in the one that it began with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Metric, Point
from shared.stores.faiss.columns import Bitmap
from shared.stores.faiss.rows import Rows
from shared.vectors.reconcile import digest_of

if TYPE_CHECKING:
    from shared.vectors.filters import Filter


@dataclass(frozen=True, slots=True)
class Part:
    """`live` marks the rows that have not been replaced or deleted since."""

    rows: Rows
    live: Bitmap
    count: int

    @classmethod
    def whole(cls, rows: Rows) -> "Part":
        return cls(rows, np.ones(len(rows), np.bool_), len(rows))

    def without(self, gone: NDArray[np.int64]) -> "Part":
        live = self.live.copy()
        live[gone] = False
        return Part(self.rows, live, int(np.count_nonzero(live)))

    def places(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each number that is live, -1 where it is not."""
        at = self.rows.places(numbers)
        at[at >= 0] = np.where(self.live[at[at >= 0]], at[at >= 0], -1)
        return at

    def passing(self, filter: "Filter | None", contains: str | None) -> tuple[Bitmap, int]:
        if filter is None and not contains:
            return self.live, self.count
        found = self.live if filter is None else self.live & self.rows.passing(filter)
        if contains:
            found = self.rows.texts.containing(contains, found)
        return found, int(np.count_nonzero(found))


@dataclass(frozen=True, slots=True)
class View:
    """The first part is the base; the others are what has changed since, oldest first. A number is live in one."""

    dimension: int
    metric: Metric
    parts: tuple[Part, ...]
    applied_seq: int = 0

    @classmethod
    def empty(cls, dimension: int, metric: Metric) -> "View":
        return cls(dimension, metric, (Part.whole(Rows.of((), dimension, metric)),))

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    @property
    def delta_rows(self) -> int:
        return sum(len(part.rows) for part in self.parts[1:])

    @property
    def size_bytes(self) -> int:
        return sum(part.rows.size_bytes + part.live.nbytes for part in self.parts)

    def versions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        numbers = np.concatenate([part.rows.numbers[part.live] for part in self.parts])
        return numbers, np.concatenate([part.rows.seqs[part.live] for part in self.parts])

    def digest(self) -> list[int]:
        return [int(bucket) for bucket in digest_of(*self.versions())]

    def after(self, number: int, limit: int) -> list[Point]:
        found = sorted((int(part.rows.numbers[row]), at, row) for at, row, part in self._after(number, limit))
        return [self.parts[at].rows.point(row) for _, at, row in found[: max(0, limit)]]

    def _after(self, number: int, limit: int) -> Iterator[tuple[int, int, Part]]:
        for at, part in enumerate(self.parts):
            first = int(np.searchsorted(part.rows.numbers, number, side="right"))
            for row in np.flatnonzero(part.live[first:])[: max(0, limit)].tolist():
                yield at, first + row, part


def merged(view: View, parts: Sequence[Part]) -> Rows:
    """All that is live in them; without any, no rows."""
    if not parts:
        return Rows.of((), view.dimension, view.metric)
    return Rows.merged([(part.rows, part.live) for part in parts], view.dimension, view.metric)
