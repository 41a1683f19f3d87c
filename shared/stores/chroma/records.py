"""What both ways to Chroma share: how a space's points are kept there, and what is asked of them.

A space is a collection, and one beside it that remembers what was deleted, so that an older point does not bring it
back. How far it is applied is in the collection's metadata.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import SutazaiError, Unavailable
from shared.ports.vector_engine import Backend, EngineHealth, Hit, Hits, Metric, Point, Space, Wanted
from shared.stores.chroma.filters import Where, where, width
from shared.stores.chroma.record import is_wanted, metadata_of, point_of
from shared.vectors.ranking import best
from shared.vectors.reconcile import digest_of
from shared.vectors.terms import Inexpressible

if TYPE_CHECKING:
    from shared.ports.vector_engine import Matrix

_DISTANCES: dict[Metric, str] = {"cosine": "ip", "dot": "ip", "l2": "l2"}
_GONE = ".gone"
_APPLIED = "applied_seq"
_WIDEST = "widest"
_PAGE = 1000
_PORTION = 500
# Up to so many that pass are compared one by one: there the graph misses much.
_COMPARED = 5000
# The graph looks as far as it is asked for.
_LOOKED_AT = 200


class ChromaRecords(ABC):
    backend: Backend = "chroma"
    patience_s: float = 60.0

    def __init__(self) -> None:
        self._writing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, space: Space) -> None:
        async with self._writing[space.name], self._bounded():
            if space.name not in await self._names():
                # What an earlier space of this name has left behind.
                await self._delete(space.name + _GONE)
                await self._create(space.name + _GONE, "l2")
                await self._create(space.name, _DISTANCES[space.metric])

    async def drop(self, space: Space) -> None:
        async with self._writing[space.name], self._bounded():
            await self._delete(space.name)
            await self._delete(space.name + _GONE)

    async def spaces(self) -> Sequence[str]:
        async with self._bounded():
            return sorted(filter(Space.is_named, await self._names()))

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        newest: dict[int, Point] = {}
        for point in points:
            if point.number not in newest or newest[point.number].seq <= point.seq:
                newest[point.number] = point
        async with self._writing[space.name], self._bounded():
            records = await self._collection(space.name)
            gone = await self._collection(space.name + _GONE)
            numbers = list(newest)
            for start in range(0, len(numbers), _PORTION):
                portion = [newest[number] for number in numbers[start : start + _PORTION]]
                await self._replace(records, gone, portion)
            state = _state(records)
            if upto_seq > state[_APPLIED]:
                await self._do(records.modify, metadata={**state, _APPLIED: upto_seq})

    async def applied_seq(self, space: Space) -> int:
        async with self._bounded():
            return _state(await self._collection(space.name))[_APPLIED]

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        async with self._bounded():
            records = await self._collection(space.name)
            state = _state(records)
            try:
                asked = where(wanted.filter, widest=state[_WIDEST])
            except Inexpressible:
                return Hits(of=await self._scanned(records, space, wanted), applied_seq=state[_APPLIED], exact=True)
            found, exact = await self._found(records, space, wanted, asked)
            return Hits(of=found, applied_seq=state[_APPLIED], exact=exact)

    async def scroll(self, space: Space, *, after: int = -1, limit: int = 1000) -> Sequence[Point]:
        async with self._bounded():
            records = await self._collection(space.name)
            numbers = [number for number in await self._numbers(records, {}) if number > after][:limit]
            points: list[Point] = []
            for start in range(0, len(numbers), _PAGE):
                points += await self._points(records, numbers[start : start + _PAGE])
            return points

    async def count(self, space: Space) -> int:
        async with self._bounded():
            return int(await self._do((await self._collection(space.name)).count))

    async def digest(self, space: Space) -> Sequence[int]:
        async with self._writing[space.name], self._bounded():
            records = await self._collection(space.name)
            rows: list[tuple[int, int]] = []
            while page := (await self._do(records.get, include=["metadatas"], limit=_PAGE, offset=len(rows)))[
                "metadatas"
            ]:
                rows += [(int(held["number"]), int(held["seq"])) for held in page]
        numbers, seqs = np.array(rows, np.int64).reshape(-1, 2).T
        return [int(bucket) for bucket in digest_of(numbers, seqs)]

    async def health(self) -> EngineHealth:
        try:
            await self.spaces()
        except SutazaiError as exc:
            return EngineHealth(status="down", detail=exc.message)
        return EngineHealth(status="ok")

    async def _replace(self, records: Any, gone: Any, points: Sequence[Point]) -> None:
        """Puts these points where there are none newer. A deletion is remembered before it is done."""
        ids = [str(point.number) for point in points]
        held = await self._metadatas(records, ids)
        deleted = await self._metadatas(gone, ids)
        current = [
            point
            for point in points
            if max(int(one.get(str(point.number), {}).get("seq", -1)) for one in (held, deleted)) <= point.seq
        ]
        dead = [point for point in current if point.vector is None]
        living = [point for point in current if point.vector is not None]
        if dead:
            await self._do(
                gone.upsert,
                ids=[str(point.number) for point in dead],
                embeddings=[[float(point.number)] for point in dead],
                metadatas=[{"seq": point.seq} for point in dead],
            )
        if removed := [str(point.number) for point in dead if str(point.number) in held]:
            await self._do(records.delete, ids=removed)
        if living:
            await self._widen(records, max(width(point.metadata) for point in living))
            await self._do(
                records.upsert,
                ids=[str(point.number) for point in living],
                embeddings=np.array([point.vector for point in living], np.float32),
                metadatas=[metadata_of(point, held.get(str(point.number), {})) for point in living],
                documents=[point.text or "" for point in living],
            )
        if back := [str(point.number) for point in living if str(point.number) in deleted]:
            await self._do(gone.delete, ids=back)

    async def _widen(self, records: Any, widest: int) -> None:
        """Before what is wider can be found."""
        state = _state(records)
        if widest > state[_WIDEST]:
            await self._do(records.modify, metadata={**state, _WIDEST: widest})

    async def _found(
        self, records: Any, space: Space, wanted: Wanted, asked: Where
    ) -> tuple[Sequence[Sequence[Hit]], bool]:
        if asked is False or not len(wanted.queries):
            return [[] for _ in wanted.queries], True
        named: dict[str, Any] = {} if asked is True else {"where": asked}
        if wanted.contains:
            named["where_document"] = {"$contains": wanted.contains}
        held = int(await self._do(records.count))
        if named or held <= _COMPARED:
            numbers = await self._numbers(records, named)
            if len(numbers) <= _COMPARED:
                return await self._compared(records, space, wanted, numbers), True
        answers = await self._nearest(records, space, wanted, named, held)
        if any(len(hits) < wanted.top_k for hits in answers):
            # More pass than that: the graph has lost its way.
            numbers = await self._numbers(records, named)
            return await self._compared(records, space, wanted, numbers), True
        return answers, False

    async def _nearest(
        self, records: Any, space: Space, wanted: Wanted, named: Mapping[str, Any], held: int
    ) -> list[list[Hit]]:
        answer = await self._do(
            records.query,
            query_embeddings=np.asarray(wanted.queries, np.float32),
            n_results=min(held, max(_LOOKED_AT, 4 * wanted.top_k)),
            include=["embeddings"],
            **named,
        )
        return [
            best(space.metric, list(map(int, ids)), np.asarray(vectors, np.float32), query, wanted.top_k)
            for ids, vectors, query in zip(answer["ids"], answer["embeddings"], wanted.queries, strict=True)
        ]

    async def _compared(self, records: Any, space: Space, wanted: Wanted, numbers: Sequence[int]) -> list[list[Hit]]:
        found: list[int] = []
        vectors: list[Matrix] = [np.zeros((0, space.dimension), np.float32)]
        for start in range(0, len(numbers), _PAGE):
            ids = [str(number) for number in numbers[start : start + _PAGE]]
            answer = await self._do(records.get, ids=ids, include=["embeddings"])
            found += map(int, answer["ids"])
            vectors.append(np.asarray(answer["embeddings"], np.float32).reshape(-1, space.dimension))
        together = np.concatenate(vectors)
        return [best(space.metric, found, together, query, wanted.top_k) for query in wanted.queries]

    async def _scanned(self, records: Any, space: Space, wanted: Wanted) -> list[list[Hit]]:
        """Looks at every record."""
        found: list[int] = []
        everything = await self._numbers(records, {})
        for start in range(0, len(everything), _PAGE):
            ids = [str(number) for number in everything[start : start + _PAGE]]
            answer = await self._do(records.get, ids=ids, include=["metadatas", "documents"])
            pairs = zip(answer["metadatas"], answer["documents"], strict=True)
            found += [int(held["number"]) for held, text in pairs if is_wanted(held, text or "", wanted)]
        return await self._compared(records, space, wanted, found)

    async def _points(self, records: Any, numbers: Sequence[int]) -> list[Point]:
        ids = [str(number) for number in numbers]
        answer = await self._do(records.get, ids=ids, include=["metadatas", "embeddings"])
        points = map(point_of, answer["metadatas"], np.asarray(answer["embeddings"], np.float32))
        return sorted(points, key=lambda point: point.number)

    async def _numbers(self, records: Any, named: Mapping[str, Any]) -> list[int]:
        return sorted(map(int, (await self._do(records.get, include=[], **named))["ids"]))

    async def _metadatas(self, records: Any, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        if not ids:
            return {}
        answer = await self._do(records.get, ids=list(ids), include=["metadatas"])
        return dict(zip(answer["ids"], answer["metadatas"], strict=True))

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.patience_s):
                yield
        except TimeoutError as exc:
            raise Unavailable("Chroma does not answer in time") from exc

    @abstractmethod
    async def _do(self, call: Callable[..., Any], **named: Any) -> Any:
        """One call of a collection. Raises NotFound and Unavailable."""

    @abstractmethod
    async def _collection(self, name: str) -> Any:
        """As it is now. Raises NotFound."""

    @abstractmethod
    async def _create(self, name: str, distance: str) -> None: ...

    @abstractmethod
    async def _delete(self, name: str) -> None:
        """Nothing happens where it is not there."""

    @abstractmethod
    async def _names(self) -> Sequence[str]: ...


def configuration(distance: str) -> dict[str, Any]:
    return {"hnsw": {"space": distance, "ef_search": _LOOKED_AT, "ef_construction": 200, "max_neighbors": 32}}


async def pages(listed: Callable[[int], Awaitable[Sequence[Any]]]) -> list[str]:
    """The names of all collections, `listed` giving those from a place on."""
    names: list[str] = []
    while page := await listed(len(names)):
        names += [one.name for one in page]
    return names


def _state(records: Any) -> dict[str, int]:
    return {_APPLIED: 0, _WIDEST: 1, **(records.metadata or {})}
