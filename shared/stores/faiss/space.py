"""One space: searches that are run together, changes one after another, and the base that is built beside them."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

import numpy as np

from shared.errors import Invalid
from shared.ports.vector_engine import Hits, Point, Space, Wanted
from shared.stores.faiss.codes import Codes
from shared.stores.faiss.draining import Drained
from shared.stores.faiss.planner import INLINE_US, Sizes, codes_us, exact_us, is_exact
from shared.stores.faiss.rows import Rows
from shared.stores.faiss.searching import search
from shared.stores.faiss.view import Part, View, merged
from shared.vectors.ranked import Ranked

logger = logging.getLogger("sutazai.vectors")

T = TypeVar("T")

# Searches that one turn takes from the queue.
_AT_ONCE = 64
# A newer part joins the older one before it is a quarter as large: a few parts, and each row is moved a few times.
_GROWTH = 4
# So many rows of metadata are read in the time of a search.
_FEW_ROWS = 32


class HeldSpace:
    """Changes and the swap of the base take turns; searches wait for neither."""

    def __init__(self, space: Space, searching: Executor, building: Executor, sizes: Sizes, *, parallel: int) -> None:
        self.space = space
        self.view = View.empty(space.dimension, space.metric)
        # Also of what is deleted the seq is known, so that an older point does not bring it back.
        self.deleted: dict[int, int] = {}
        self._forgotten_seq = 0
        self.changing = asyncio.Lock()
        self._building = building
        self._sizes = sizes
        self._batches: Drained[Wanted, Hits] = Drained(
            self._searched, self._is_long, executor=searching, size=_AT_ONCE, parallel=parallel
        )
        # As many of the parts are being built into a base now.
        self._taken = 1
        self._compaction: asyncio.Task[None] | None = None

    async def search(self, wanted: Wanted) -> Hits:
        """Raises Invalid for queries of another dimension."""
        if wanted.queries.ndim != 2 or wanted.queries.shape[1] != self.space.dimension:
            raise Invalid(f"queries of {self.space.name} have {self.space.dimension} numbers")
        return await self._batches.submit(wanted)

    async def apply(self, points: Sequence[Point], *, upto_seq: int) -> None:
        for point in points:
            if point.vector is not None and point.vector.shape != (self.space.dimension,):
                raise Invalid(f"vectors of {self.space.name} have {self.space.dimension} numbers: {point.vector_id!r}")
        if self._compaction and self.view.delta_rows + len(points) > self._sizes.delta_limit:
            await asyncio.wait([self._compaction])
        async with self.changing:
            self.view, deleted, back = await self.run(self._applied, points, upto_seq)
            for number in back:
                self.deleted.pop(number, None)
            self.deleted |= deleted
        self.compact_when_due()

    async def forget(self, upto_seq: int) -> None:
        async with self.changing:
            if upto_seq > self._forgotten_seq:
                self.deleted = await self.run(_deleted_after, self.deleted, upto_seq)
                self._forgotten_seq = upto_seq

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Beside what is searched."""
        return await asyncio.get_running_loop().run_in_executor(self._building, work, *arguments)

    async def compacted(self) -> None:
        """Once all that is held is in the base, unless more has come meanwhile."""
        await self.settled()
        self._compaction = asyncio.create_task(self._compacted())
        await self.settled()

    async def settled(self) -> None:
        """Once nothing is built any more."""
        while self._compaction:
            await asyncio.wait([self._compaction])

    async def close(self) -> None:
        await self._batches.close()
        await self.settled()

    def _searched(self, asked: Sequence[Wanted]) -> Sequence[Hits]:
        """One call of FAISS for all that ask alike."""
        view = self.view
        if len(asked) == 1:
            return [search(view, asked[0], self._sizes)]
        alike: dict[tuple[str, str | None], list[int]] = {}
        for at, wanted in enumerate(asked):
            # By what is written: to Python a filter with 1 equals one with True.
            alike.setdefault((repr(wanted.filter) if wanted.filter else "", wanted.contains), []).append(at)
        found: dict[int, Hits] = {}
        for group in alike.values():
            found |= zip(group, _together(view, [asked[at] for at in group], self._sizes), strict=True)
        return [found[at] for at in range(len(asked))]

    def _is_long(self, asked: Sequence[Wanted]) -> bool:
        """Too long for the loop to wait for it."""
        filtered = [wanted for wanted in asked if wanted.filter is not None or wanted.contains]
        if filtered and self._has_to_read(filtered):
            return True
        expected = sum(self._exact_us(len(wanted.queries), is_filtered=True) for wanted in filtered)
        if len(filtered) < len(asked):
            queries = sum(len(wanted.queries) for wanted in asked) - sum(len(wanted.queries) for wanted in filtered)
            expected += self._nearest_us(queries, max(wanted.top_k for wanted in asked))
        return expected > INLINE_US

    def _has_to_read(self, filtered: Sequence[Wanted]) -> bool:
        """Metadata of rows that no filter has been asked of."""
        return any(wanted.filter is not None for wanted in filtered) and any(
            len(part.rows) > _FEW_ROWS and not part.rows.has_columns for part in self.view.parts
        )

    def _exact_us(self, queries: int, *, is_filtered: bool) -> float:
        rows = sum(len(part.rows) for part in self.view.parts)
        return exact_us(rows=rows, dimension=self.view.dimension, queries=queries, is_filtered=is_filtered)

    def _nearest_us(self, queries: int, top_k: int) -> float:
        view, base = self.view, self.view.parts[0]
        rows, codes = len(base.rows), base.rows.codes
        if codes is None or is_exact(self._sizes, base.count, rows):
            return self._exact_us(queries, is_filtered=False)
        by_codes = codes_us(rows=rows, dimension=view.dimension, queries=queries, depth=codes.depth_for(top_k))
        return by_codes + exact_us(rows=view.delta_rows, dimension=view.dimension, queries=queries, is_filtered=False)

    def _applied(self, points: Sequence[Point], upto_seq: int) -> tuple[View, dict[int, int], list[int]]:
        """The view with them, what they delete, and what they bring back."""
        view = self.view
        newest = _newest(points)
        numbers = np.fromiter(newest, np.int64, len(newest))
        held = np.fromiter((self.deleted.get(number, -1) for number in newest), np.int64, len(newest))
        places = [part.places(numbers) for part in view.parts]
        for part, at in zip(view.parts, places, strict=True):
            held[at >= 0] = part.rows.seqs[at[at >= 0]]
        taken = np.fromiter((point.seq for point in newest.values()), np.int64, len(newest)) >= held
        parts = [
            part.without(gone) if len(gone := at[taken & (at >= 0)]) else part
            for part, at in zip(view.parts, places, strict=True)
        ]
        changed = [point for point, is_taken in zip(newest.values(), taken.tolist(), strict=True) if is_taken]
        kept = [point for point in changed if point.vector is not None]
        view = replace(view, parts=self._grown(view, parts, kept), applied_seq=max(view.applied_seq, upto_seq))
        deleted = {point.number: point.seq for point in changed if point.vector is None}
        return view, deleted, [point.number for point in kept]

    def _grown(self, view: View, parts: list[Part], kept: Sequence[Point]) -> tuple[Part, ...]:
        if not kept:
            return tuple(parts)
        parts.append(Part.whole(Rows.of(kept, view.dimension, view.metric)))
        while len(parts) > self._taken + 1 and len(parts[-2].rows) < _GROWTH * len(parts[-1].rows):
            parts[-2:] = [Part.whole(merged(view, parts[-2:]))]
        return tuple(parts)

    def compact_when_due(self) -> None:
        """Beside what is searched and changed."""
        base = self.view.parts[0]
        dead = len(base.rows) - base.count
        is_due = self.view.delta_rows > self._sizes.delta_rows or dead > max(
            self._sizes.delta_rows, self._sizes.dead_share * len(base.rows)
        )
        if is_due and self._compaction is None:
            self._compaction = asyncio.create_task(self._compacted())

    async def _compacted(self) -> None:
        try:
            async with self.changing:
                before = self.view
                self._taken = len(before.parts)
            rows = await self.run(built, before, self._sizes)
            async with self.changing:
                self.view = await self.run(_published, before, self.view, rows)
                self._taken = 1
        except Exception:
            # The old base goes on answering, and the next change tries again.
            logger.exception("no base could be built for %s", self.space.name)
        finally:
            self._taken = 1
            self._compaction = None


def _deleted_after(deleted: Mapping[int, int], seq: int) -> dict[int, int]:
    return {number: at for number, at in deleted.items() if at > seq}


def _newest(points: Sequence[Point]) -> dict[int, Point]:
    """Of each number its last version, and of two with one seq the later."""
    newest: dict[int, Point] = {}
    for point in points:
        if point.number not in newest or newest[point.number].seq <= point.seq:
            newest[point.number] = point
    return newest


def built(view: View, sizes: Sizes) -> Rows:
    """One base of all that is live."""
    rows = merged(view, view.parts)
    if len(rows) > sizes.flat_rows:
        rows.codes = Codes.of(rows.flat, view.parts[0].rows.codes)
    # Now, and not while the first filtered search waits.
    _ = rows.columns
    return rows


def _published(before: View, now: View, rows: Rows) -> View:
    """`rows` are those that were live before: less what has gone since, and with what has come."""
    gone = [
        old.rows.numbers[old.live & ~new.live]
        for old, new in zip(before.parts, now.parts[: len(before.parts)], strict=True)
    ]
    base = Part.whole(rows).without(rows.places(np.concatenate(gone)))
    return replace(now, parts=(base, *now.parts[len(before.parts) :]))


def _together(view: View, group: Sequence[Wanted], sizes: Sizes) -> list[Hits]:
    if len(group) == 1:
        return [search(view, group[0], sizes)]
    queries = np.concatenate([wanted.queries for wanted in group])
    found = search(view, replace(group[0], queries=queries, top_k=max(w.top_k for w in group)), sizes)
    answers = []
    start = 0
    for wanted in group:
        end, best = start + len(wanted.queries), max(0, wanted.top_k)
        of = found.of
        some = of.of(start, end, best=best) if isinstance(of, Ranked) else [hits[:best] for hits in of[start:end]]
        answers.append(Hits(of=some, applied_seq=found.applied_seq, exact=found.exact))
        start = end
    return answers
