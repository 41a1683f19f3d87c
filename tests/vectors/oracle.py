"""An engine that compares everything with everything, in numpy: what the others are held to, and a fake for those
who only need one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from shared.errors import NotFound, Unavailable
from shared.ports.vector_engine import (
    BUCKETS,
    Backend,
    EngineHealth,
    Hit,
    Hits,
    Point,
    Space,
    Wanted,
    fingerprint,
)
from shared.vectors.exact import scores
from shared.vectors.filters import passes


@dataclass
class _Held:
    applied_seq: int = 0
    points: dict[int, Point] = field(default_factory=dict)
    # Also of the deleted, so that an older point does not bring one back.
    seqs: dict[int, int] = field(default_factory=dict)


class Oracle:
    """Exact. `is_down`: it cannot be reached; `spaces_held` may be changed behind its back."""

    def __init__(self, backend: Backend = "faiss") -> None:
        self.backend: Backend = backend
        self.is_down = False
        self.spaces_held: dict[str, _Held] = {}
        self.applied: list[tuple[str, int]] = []

    async def ensure(self, space: Space) -> None:
        self._reached()
        self.spaces_held.setdefault(space.name, _Held())

    async def drop(self, space: Space) -> None:
        self._reached()
        self.spaces_held.pop(space.name, None)

    async def spaces(self) -> Sequence[str]:
        self._reached()
        return sorted(self.spaces_held)

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        held = self._held(space)
        for point in points:
            if held.seqs.get(point.number, -1) > point.seq:
                continue
            held.seqs[point.number] = point.seq
            if point.vector is None:
                held.points.pop(point.number, None)
            else:
                held.points[point.number] = point
        held.applied_seq = max(held.applied_seq, upto_seq)
        self.applied.append((space.name, len(points)))

    async def applied_seq(self, space: Space) -> int:
        return self._held(space).applied_seq

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        held = self._held(space)
        passing = [point for point in held.points.values() if _wanted(point, wanted)]
        return Hits(
            of=[self._best(space, passing, query, wanted.top_k) for query in wanted.queries],
            applied_seq=held.applied_seq,
            exact=True,
        )

    async def scroll(self, space: Space, *, after: int = -1, limit: int = 1000) -> Sequence[Point]:
        points = self._held(space).points
        return [points[number] for number in sorted(points) if number > after][:limit]

    async def count(self, space: Space) -> int:
        return len(self._held(space).points)

    async def digest(self, space: Space) -> Sequence[int]:
        buckets = [0] * BUCKETS
        for point in self._held(space).points.values():
            buckets[point.number % BUCKETS] ^= fingerprint(point.number, point.seq)
        return buckets

    async def health(self) -> EngineHealth:
        return EngineHealth(status="down" if self.is_down else "ok")

    def _best(self, space: Space, passing: Sequence[Point], query: object, top_k: int) -> list[Hit]:
        if not passing:
            return []
        found = scores(space.metric, np.stack([p.vector for p in passing if p.vector is not None]), np.asarray(query))
        hits = [Hit(point.number, float(score)) for point, score in zip(passing, found, strict=True)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.number))[:top_k]

    def _held(self, space: Space) -> _Held:
        self._reached()
        if space.name not in self.spaces_held:
            raise NotFound(f"no space {space.name!r}")
        return self.spaces_held[space.name]

    def _reached(self) -> None:
        if self.is_down:
            raise Unavailable(f"{self.backend} cannot be reached")


def _wanted(point: Point, wanted: Wanted) -> bool:
    if wanted.contains is not None and wanted.contains not in (point.text or ""):
        return False
    return wanted.filter is None or passes(wanted.filter, point.metadata, point.created_at)
