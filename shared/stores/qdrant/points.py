"""What both ways to Qdrant share: how a space's points are kept there, and what is asked of them.

A deleted point stays as one without a vector, so that an older one does not bring it back; so does how far the space
is applied, under a number that no point can have. What has no vector is found by no search.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import SutazaiError, Unavailable
from shared.ports.vector_engine import Backend, EngineHealth, Hit, Hits, Metric, Point, Space, Wanted
from shared.stores.qdrant.filters import GONE, NUMBERS, TERMS, Conditions
from shared.stores.qdrant.nearest import Nearest
from shared.vectors.filters import CREATED_AT, passes
from shared.vectors.ranking import ordered
from shared.vectors.reconcile import digest_of
from shared.vectors.terms import Inexpressible, number_key, numbers_of, terms_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

VECTOR = "v"
TEXT = "text"
CREATED = f"{NUMBERS}.{number_key(CREATED_AT)}"
_PROGRESS = 1 << 63
_APPLIED = "applied_seq"
_PAGE = 2000
# What one page of vectors has at most; a float is an object of Python on its way here.
_PAGE_FLOATS = 1 << 20
# Qdrant takes 32 MiB at once; a float is some 20 letters of JSON.
_PORTION_BYTES = 8 << 20
_FLOAT_BYTES = 20
# So many more than asked for, since the last may be one of several equal ones. Where still more are equal, comparing
# all of them costs less than having them here.
_SPARE = (16, 128, 1024, 4096)
# Of all queries that are asked together.
_HITS_AT_ONCE = 1 << 13


@dataclass(frozen=True, slots=True)
class Row:
    """A point as Qdrant has it. `vector` is None where it has none, or was not asked for."""

    number: int
    payload: Mapping[str, Any]
    vector: "NDArray[np.float32] | None" = None


class QdrantPoints(ABC):
    """A cosine space is one of dot products: its vectors have length 1, and Qdrant would only round them again."""

    backend: Backend = "qdrant"
    _conditions: Conditions
    patience_s: float = 60.0

    def __init__(self) -> None:
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, space: Space) -> None:
        async with self._writing[space.name], self._bounded():
            await self._create(space)

    async def drop(self, space: Space) -> None:
        async with self._writing[space.name], self._bounded():
            await self._delete(space.name)

    async def spaces(self) -> Sequence[str]:
        async with self._bounded():
            return sorted(filter(Space.is_named, await self._names()))

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        newest: dict[int, Point] = {}
        for point in points:
            if point.number not in newest or newest[point.number].seq <= point.seq:
                newest[point.number] = point
        async with self._writing[space.name], self._bounded():
            held = await self._held(space.name, newest)
            rows = [_row(point) for point in newest.values() if held.get(point.number, -1) <= point.seq]
            for portion in _portions(rows):
                await self._upsert(space.name, portion)
            if upto_seq > held[_PROGRESS]:
                await self._upsert(space.name, [Row(_PROGRESS, {TERMS: [GONE], _APPLIED: upto_seq})])
            await self._flush(space.name)

    async def applied_seq(self, space: Space) -> int:
        async with self._bounded():
            return (await self._held(space.name, ()))[_PROGRESS]

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        async with self._bounded():
            applied = (await self._held(space.name, ()))[_PROGRESS]
            try:
                condition = self._conditions.of(wanted.filter)
            except Inexpressible:
                return Hits(of=await self._scanned(space, wanted, None), applied_seq=applied, exact=True)
            if wanted.contains:
                # Qdrant's own search in texts goes by words, or by letters, as its version and its indexes are.
                return Hits(of=await self._scanned(space, wanted, condition), applied_seq=applied, exact=True)
            exact = await self._is_exact(space.name, condition)
            found = await self._found(space, wanted, condition, exact=exact)
            return Hits(of=found, applied_seq=applied, exact=exact)

    async def scroll(self, space: Space, *, after: int = -1, limit: int = 1000) -> Sequence[Point]:
        async with self._bounded():
            rows = await self._page(space.name, self._conditions.living(), after + 1, limit, vectors=True)
            return [_point(row) for row in rows]

    async def count(self, space: Space) -> int:
        async with self._bounded():
            return await self._count(space.name, self._conditions.living(), exact=True)

    async def digest(self, space: Space) -> Sequence[int]:
        async with self._writing[space.name], self._bounded():
            pages = self._pages(space.name, None, _PAGE, vectors=False)
            rows = [(row.number, int(row.payload["seq"])) async for page in pages for row in page]
        numbers, seqs = np.array(rows, np.int64).reshape(-1, 2).T
        return [int(bucket) for bucket in digest_of(numbers, seqs)]

    async def health(self) -> EngineHealth:
        try:
            await self.spaces()
        except SutazaiError as exc:
            return EngineHealth(status="down", detail=exc.message)
        return EngineHealth(status="ok")

    async def _held(self, name: str, numbers: Sequence[int] | Mapping[int, object]) -> dict[int, int]:
        """The seqs that are held of these numbers, also of deleted ones, and under _PROGRESS how far it is applied."""
        held = {_PROGRESS: 0}
        asked = [_PROGRESS, *numbers]
        for start in range(0, len(asked), _PAGE):
            for row in await self._retrieve(name, asked[start : start + _PAGE]):
                held[row.number] = int(row.payload[_APPLIED if row.number == _PROGRESS else "seq"])
        return held

    async def _found(self, space: Space, wanted: Wanted, condition: Any, *, exact: bool) -> list[list[Hit]]:
        """Where the graph is asked, which of very many equal ones are found is its choice."""
        top_k = wanted.top_k
        found: list[list[Hit]] = [[] for _ in wanted.queries]
        unsure = list(range(len(found))) if top_k > 0 else []
        for limit in (top_k + spare for spare in _SPARE):
            step = max(1, _HITS_AT_ONCE // limit)
            asked, unsure = [unsure[at : at + step] for at in range(0, len(unsure), step)], []
            for some in asked:
                answers = await self._nearest(space.name, wanted.queries[some], condition, limit, exact=exact)
                for at, answer in zip(some, answers, strict=True):
                    hits = ordered(_hit(space.metric, number, score) for number, score in answer)
                    found[at] = hits[:top_k]
                    if len(hits) == limit and hits[-1].score == hits[top_k - 1].score:
                        unsure.append(at)
        if unsure and exact:
            equal = replace(wanted, queries=wanted.queries[unsure], filter=None)
            for at, hits in zip(unsure, await self._scanned(space, equal, condition), strict=True):
                found[at] = hits
        return found

    async def _scanned(self, space: Space, wanted: Wanted, condition: Any) -> list[list[Hit]]:
        nearest = Nearest(space.metric, wanted.queries, wanted.top_k)
        size = max(1, min(_PAGE, _PAGE_FLOATS // space.dimension))
        if wanted.top_k > 0 and len(wanted.queries):
            async for rows in self._pages(space.name, condition, size, vectors=True):
                await asyncio.to_thread(_compare, nearest, rows, wanted)
        return nearest.hits

    async def _pages(self, name: str, condition: Any, size: int, *, vectors: bool) -> AsyncIterator[Sequence[Row]]:
        after = -1
        living = self._conditions.living(condition)
        while rows := await self._page(name, living, after + 1, size, vectors=vectors):
            yield rows
            after = rows[-1].number

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.patience_s):
                yield
        except TimeoutError as exc:
            raise Unavailable("Qdrant does not answer in time") from exc

    @abstractmethod
    async def _create(self, space: Space) -> None: ...

    @abstractmethod
    async def _delete(self, name: str) -> None: ...

    @abstractmethod
    async def _names(self) -> Sequence[str]: ...

    @abstractmethod
    async def _upsert(self, name: str, rows: Sequence[Row]) -> None: ...

    @abstractmethod
    async def _flush(self, name: str) -> None: ...

    @abstractmethod
    async def _retrieve(self, name: str, numbers: Sequence[int]) -> Sequence[Row]:
        """Raises NotFound, as all of these do that take a name, where there is no such space."""

    @abstractmethod
    async def _nearest(
        self, name: str, queries: Any, condition: Any, limit: int, *, exact: bool
    ) -> Sequence[Sequence[tuple[int, float]]]: ...

    @abstractmethod
    async def _page(self, name: str, condition: Any, start: int, limit: int, *, vectors: bool) -> Sequence[Row]:
        """By number, from `start` on."""

    @abstractmethod
    async def _count(self, name: str, condition: Any, *, exact: bool) -> int: ...

    @abstractmethod
    async def _is_exact(self, name: str, condition: Any) -> bool:
        """Whether all that passes is compared: where the graph would miss too much, or is not there."""


def row_of(record: Any) -> Row:
    """A record as either client has it."""
    held = record.vector.get(VECTOR) if isinstance(record.vector, dict) else None
    return Row(number_of(record.id), record.payload or {}, None if held is None else np.asarray(held, np.float32))


def number_of(point_id: object) -> int:
    assert isinstance(point_id, int)
    return point_id


def _row(point: Point) -> Row:
    if point.vector is None:
        return Row(point.number, {TERMS: [GONE], "seq": point.seq})
    payload = {
        "seq": point.seq,
        "id": point.vector_id,
        "metadata": json.dumps({key: _plain(held) for key, held in point.metadata.items()}),
        "created_at": point.created_at,
        TERMS: terms_of(point.metadata, point.created_at),
        NUMBERS: numbers_of(point.metadata, point.created_at),
    }
    return Row(point.number, payload if point.text is None else {**payload, TEXT: point.text}, point.vector)


def _plain(held: Any) -> Any:
    return list(held) if isinstance(held, list | tuple) else held


def _point(row: Row) -> Point:
    return Point(
        number=row.number,
        vector_id=row.payload["id"],
        seq=int(row.payload["seq"]),
        vector=row.vector,
        metadata=json.loads(row.payload["metadata"]),
        created_at=float(row.payload["created_at"]),
    )


def _compare(nearest: Nearest, rows: Sequence[Row], wanted: Wanted) -> None:
    passing = [(row.number, row.vector) for row in rows if row.vector is not None and _passes(row, wanted)]
    if passing:
        numbers, vectors = zip(*passing, strict=True)
        nearest.see(np.array(numbers, np.int64), np.array(vectors, np.float32))


def _passes(row: Row, wanted: Wanted) -> bool:
    if wanted.contains and wanted.contains not in row.payload.get(TEXT, ""):
        return False
    if wanted.filter is None:
        return True
    return passes(wanted.filter, json.loads(row.payload["metadata"]), float(row.payload["created_at"]))


def _hit(metric: Metric, number: int, found: float) -> Hit:
    """What Qdrant calls the score of an l2 space is the distance."""
    score = np.float32(1) / (np.float32(1) + np.float32(found)) if metric == "l2" else np.float32(found)
    return Hit(number, float(score))


def _portions(rows: Sequence[Row]) -> Iterator[list[Row]]:
    portion: list[Row] = []
    size = 0
    for row in rows:
        size += _size(row)
        if portion and size > _PORTION_BYTES:
            yield portion
            portion, size = [], _size(row)
        portion.append(row)
    if portion:
        yield portion


def _size(row: Row) -> int:
    floats = 0 if row.vector is None else len(row.vector) * _FLOAT_BYTES
    texts = len(row.payload.get("metadata", "")) + 6 * len(row.payload.get(TEXT, ""))
    return floats + texts + 40 * len(row.payload.get(TERMS, ())) + 100
