"""Metadata turned round: for each key and value the rows that have it, so that a filter becomes a bitmap."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Metadata, Scalar
from shared.vectors.filters import CREATED_AT, And, Eq, Exists, Filter, In, Not, Or, Range

Bitmap = NDArray[np.bool_]
Kind = Literal["boolean", "number", "string"]

# Whole numbers beyond are not all floats.
_EXACT: Final = 1 << 53


@dataclass(frozen=True, slots=True)
class _Postings:
    """The rows of each of the sorted `values`: those of the n-th are rows[starts[n]:starts[n + 1]].

    The values compare as Python compares them, whole numbers of any size with floats included.
    """

    values: Sequence[Scalar]
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]

    @classmethod
    def of(cls, kind: Kind, values: Sequence[Scalar], rows: Sequence[int]) -> Self:
        distinct: Sequence[Scalar]
        if kind == "number" and all(
            isinstance(v, float | int) and (type(v) is float or -_EXACT <= v <= _EXACT) for v in values
        ):
            floats, codes = np.unique(np.array(values, np.float64), return_inverse=True)
            distinct = array("d", floats.tobytes())
        else:
            distinct = sorted(set(values))
            code_of = {value: code for code, value in enumerate(distinct)}
            codes = np.fromiter((code_of[value] for value in values), np.int64, len(values))
        starts = np.zeros(len(distinct) + 1, np.int64)
        np.cumsum(np.bincount(codes, minlength=len(distinct)), out=starts[1:])
        return cls(distinct, starts, np.array(rows, np.int32)[np.argsort(codes, kind="stable")])

    @property
    def size_bytes(self) -> int:
        return self.starts.nbytes + self.rows.nbytes + 8 * len(self.values)

    def between(self, first: int, end: int) -> NDArray[np.int32]:
        return self.rows[self.starts[first] : self.starts[end]] if first < end else self.rows[:0]

    def equal(self, value: Scalar) -> NDArray[np.int32]:
        at = bisect_left(self.values, value)
        return self.between(at, at + (at < len(self.values) and self.values[at] == value))

    def within(self, bounds: Range) -> NDArray[np.int32]:
        values: Sequence[float] = self.values  # type: ignore[assignment]
        first, end = 0, len(values)
        if bounds.gt is not None:
            first = max(first, bisect_right(values, bounds.gt))
        if bounds.gte is not None:
            first = max(first, bisect_left(values, bounds.gte))
        if bounds.lt is not None:
            end = min(end, bisect_left(values, bounds.lt))
        if bounds.lte is not None:
            end = min(end, bisect_right(values, bounds.lte))
        return self.between(first, end)


@dataclass(slots=True)
class _Gathered:
    values: list[Scalar] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class Columns:
    """Of so many rows; equal to `passes` for every one of them."""

    def __init__(self, metadata: Iterable[Metadata], created_at: NDArray[np.float64]) -> None:
        self._count = len(created_at)
        # What is not equal to itself has no place among the sorted.
        self._unordered: dict[str, list[int]] = {}
        gathered: dict[tuple[str, Kind], _Gathered] = {}
        for row, held in enumerate(metadata):
            for key, value in held.items():
                for one in value if isinstance(value, list | tuple) else (value,):
                    self._gather(gathered, key, one, row)
        for kind in ("boolean", "number", "string"):
            gathered.pop((CREATED_AT, kind), None)
        self._unordered.pop(CREATED_AT, None)
        gathered[CREATED_AT, "number"] = _Gathered(created_at.tolist(), list(range(self._count)))
        self._postings = {
            (key, kind): _Postings.of(kind, found.values, found.rows) for (key, kind), found in gathered.items()
        }

    @property
    def size_bytes(self) -> int:
        return sum(postings.size_bytes for postings in self._postings.values())

    def passing(self, filter: Filter) -> Bitmap:
        match filter:
            case Eq(key, value):
                return self._marked(self._equal(key, value))
            case In(key, values):
                return self._marked(*(self._equal(key, value) for value in values))
            case Range(key):
                return self._marked(*self._within(key, filter))
            case Exists(key):
                kinds: tuple[Kind, ...] = ("boolean", "number", "string")
                held = (self._postings.get((key, kind)) for kind in kinds)
                return self._marked(*(found.rows for found in held if found), self._unordered.get(key, ()))
            case And(of):
                return reduce(np.logical_and, map(self.passing, of), np.ones(self._count, np.bool_))
            case Or(of):
                return reduce(np.logical_or, map(self.passing, of), np.zeros(self._count, np.bool_))
            case Not(of):
                return ~self.passing(of)

    def _gather(self, gathered: dict[tuple[str, Kind], _Gathered], key: str, value: Scalar, row: int) -> None:
        if value != value:
            self._unordered.setdefault(key, []).append(row)
            return
        column = gathered.setdefault((key, _kind(value)), _Gathered())
        column.values.append(value)
        column.rows.append(row)

    def _equal(self, key: str, value: Scalar) -> Sequence[int] | NDArray[np.int32]:
        postings = self._postings.get((key, _kind(value)))
        return () if postings is None or value != value else postings.equal(value)

    def _within(self, key: str, bounds: Range) -> list[Sequence[int] | NDArray[np.int32]]:
        given = [bound for bound in (bounds.gt, bounds.gte, bounds.lt, bounds.lte) if bound is not None]
        if any(bound != bound for bound in given):
            return []
        postings = self._postings.get((key, "number"))
        found: list[Sequence[int] | NDArray[np.int32]] = [] if postings is None else [postings.within(bounds)]
        return found if given else [*found, self._unordered.get(key, ())]

    def _marked(self, *rows: Sequence[int] | NDArray[np.int32]) -> Bitmap:
        marked = np.zeros(self._count, np.bool_)
        for some in rows:
            if len(some):
                marked[some] = True
        return marked


def _kind(value: Scalar) -> Kind:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "number"
