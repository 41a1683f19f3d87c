"""The nearest of a view: of the base by its codes or exactly, of what has changed since always exactly."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Hit, Hits
from shared.stores.faiss.columns import Bitmap
from shared.stores.faiss.kernels import Flat
from shared.stores.faiss.planner import Sizes, fetched, is_exact
from shared.stores.faiss.view import Part, View
from shared.vectors.ranked import Ranked

if TYPE_CHECKING:
    from shared.ports.vector_engine import Matrix, Wanted

Scores = NDArray[np.float32]
Numbers = NDArray[np.int64]

# Fetched beyond what is asked for, to see whether the last one has equals.
_SPARE: Final = 8
# What the last places of a float may make of two that are equal.
_ROUNDING: Final = np.float32(2e-6)
_MOST_FETCHED: Final = 4096
_QUERIES_AT_ONCE: Final = 64
_NONE: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class _Best:
    """For each query a row; what is missing has minus infinity, and a number beyond all."""

    scores: Scores
    numbers: Numbers

    def first(self, count: int) -> "_Best":
        if self.scores.shape[1] > 4 * (count + _SPARE):
            self = self._nearly(count + _SPARE)
        order = np.lexsort((self.numbers, -self.scores), axis=-1)[:, :count]
        return _Best(np.take_along_axis(self.scores, order, 1), np.take_along_axis(self.numbers, order, 1))

    def _nearly(self, count: int) -> "_Best":
        """With all that equal the last of them."""
        least = -np.partition(-self.scores, count - 1, axis=1)[:, count - 1]
        wide = int((self.scores >= least[:, None]).sum(axis=1).max())
        order = np.argpartition(-self.scores, min(wide, self.scores.shape[1]) - 1, axis=1)[:, :wide]
        return _Best(np.take_along_axis(self.scores, order, 1), np.take_along_axis(self.numbers, order, 1))


def search(view: View, wanted: "Wanted", sizes: Sizes) -> Hits:
    """All that `wanted` asks at once, in one thread."""
    queries = np.ascontiguousarray(wanted.queries, np.float32)
    passing = [(part, *part.passing(wanted.filter, wanted.contains)) for part in view.parts]
    if len(queries) <= _QUERIES_AT_ONCE:
        best, exact = _best(passing, queries, wanted.top_k, sizes)
        return Hits(of=_hits(best), applied_seq=view.applied_seq, exact=exact)
    of: list[Sequence[Hit]] = []
    exact = True
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        best, is_sure = _best(passing, queries[start : start + _QUERIES_AT_ONCE], wanted.top_k, sizes)
        exact &= is_sure
        of += _hits(best)
    return Hits(of=of, applied_seq=view.applied_seq, exact=exact)


def _best(
    passing: Sequence[tuple[Part, Bitmap, int]], queries: "Matrix", top_k: int, sizes: Sizes
) -> tuple[_Best, bool]:
    found = []
    exact = True
    for part, among, count in passing:
        if not count or top_k < 1:
            continue
        by_codes = _by_codes(part, among, count, queries, top_k, sizes)
        exact &= by_codes is None
        found.append(by_codes or _exactly(part, among, count, queries, top_k))
    if not found:
        return _Best(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)), exact
    if len(found) == 1:
        return found[0], exact
    scores = np.concatenate([best.scores for best in found], axis=1)
    return _Best(scores, np.concatenate([best.numbers for best in found], axis=1)).first(top_k), exact


def _by_codes(part: Part, among: Bitmap, count: int, queries: "Matrix", top_k: int, sizes: Sizes) -> _Best | None:
    """None where comparing exactly is as fast, or where those that pass lie elsewhere than the queries."""
    codes = part.rows.codes
    if codes is None or is_exact(sizes, count, len(part.rows)):
        return None
    depth = codes.depth_for(top_k)
    fetch = fetched(depth, count, len(part.rows))
    if fetch is None:
        return None
    if count == len(part.rows) and top_k < count and (best := _of_all_rows(part, queries, top_k)):
        return best
    return _among(part, among, count, queries, top_k, fetch)


def _among(part: Part, among: Bitmap, count: int, queries: "Matrix", top_k: int, fetch: int) -> _Best | None:
    """The best of so many candidates, those that are equally near by number. None where too few of them pass."""
    codes = part.rows.codes
    assert codes is not None
    rows = codes.candidates(queries, fetch)
    if count < len(part.rows):
        rows[~among[rows]] = -1
        # Fewer, and the best of them could be further down: what passes depends on where it lies.
        if int((rows >= 0).sum(axis=1).min()) < min(codes.depth_for(top_k), count):
            return None
    return _numbered(part, part.rows.flat.scores(queries, rows), rows).first(top_k)


def _of_all_rows(part: Part, queries: "Matrix", top_k: int) -> _Best | None:
    """Of a part of which every row passes. None where FAISS cannot do it by itself."""
    rows = part.rows
    assert rows.codes is not None
    # One more, to see whether the last has an equal.
    if (found := rows.codes.nearest(queries, top_k, spare=1)) is None:
        return None
    scores, numbers = rows.flat.scored(found[0]), rows.numbers[found[1]]
    falls = scores[:, :-1] > scores[:, 1:]
    if not falls.all():
        # FAISS does not look at numbers.
        at = np.flatnonzero(~falls.all(axis=1))
        order = np.lexsort((numbers[at], -scores[at]), axis=-1)
        numbers[at] = np.take_along_axis(numbers[at], order, 1)
        # The last has an equal, and there may be more of them.
        if len(at := np.flatnonzero(~falls[:, -1])):
            again = _among(part, part.live, part.count, queries[at], top_k, rows.codes.depth_for(top_k))
            assert again is not None
            scores[at, :-1], numbers[at, :-1] = again.scores, again.numbers
    return _Best(scores[:, :-1], numbers[:, :-1])


def _exactly(part: Part, among: Bitmap, count: int, queries: "Matrix", top_k: int) -> _Best:
    flat = part.rows.flat
    marked = None if count == len(part.rows) else among
    fetch = min(top_k + _SPARE, count)
    while fetch <= max(_MOST_FETCHED, top_k + _SPARE):
        distances, rows = flat.nearest(queries, fetch, marked)
        best = _numbered(part, flat.scores(queries, rows), rows)
        if fetch == count or not _has_equals(flat, queries, distances, top_k):
            return best.first(top_k)
        fetch = min(fetch * 8, count)
    # So many are equal that sorting all of them costs less than looking for the end.
    all_rows = np.flatnonzero(among)
    each = [_of_all(part, query[None], all_rows).first(top_k) for query in queries]
    return _Best(np.concatenate([one.scores for one in each]), np.concatenate([one.numbers for one in each]))


def _of_all(part: Part, query: "Matrix", rows: NDArray[np.int64]) -> _Best:
    return _numbered(part, part.rows.flat.scores(query, rows[None]), rows[None])


def _has_equals(flat: Flat, queries: "Matrix", distances: Scores, top_k: int) -> bool:
    """Whether what was not fetched may be as near as the last that is asked for."""
    last_asked, last = distances[:, top_k - 1], distances[:, -1]
    if flat.metric == "l2":
        # FAISS finds these distances in batches as differences of squares.
        scale = (np.linalg.norm(queries, axis=1) + np.sqrt(np.maximum(last, 0))) ** 2
    else:
        scale = np.abs(distances).max(axis=1)
    return bool((np.abs(last - last_asked) <= _ROUNDING * scale).any())


def _numbered(part: Part, scores: Scores, rows: NDArray[np.int64]) -> _Best:
    missing = rows < 0
    if not missing.any():
        return _Best(scores, part.rows.numbers[rows])
    return _Best(np.where(missing, np.float32(-np.inf), scores), np.where(missing, _NONE, part.rows.numbers[rows]))


def _hits(best: _Best) -> Sequence[Sequence[Hit]]:
    found = Ranked(best.numbers, best.scores)
    # In order, so that what is missing comes last.
    if best.numbers.shape[1] and best.numbers[:, -1].max(initial=0) == _NONE:
        return [[hit for hit in hits if hit.number != _NONE] for hits in found]
    return found
