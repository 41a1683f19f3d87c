"""A random trace of the whole layer, and a model of what each step has to answer.

With `min_seq` an answer is exactly the oracle's. Without, an engine may lag: then the answer is held to what has not
changed since `applied_seq`, which has to be there, in its place, and in its newest form.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import numpy as np

from functions.vectors.search_vectors import SearchVectors, search_vectors
from functions.vectors.upsert_vectors import UpsertedVector, UpsertVectors, upsert_vectors
from shared.errors import Unavailable
from shared.function import Caller
from shared.ports.vector_engine import Backend, Hit, Point, Wanted
from shared.vectors.reconcile import digest_of
from shared.vectors.serving.protocol import Answered, Searches
from tests.vectors.layer import BACKENDS, Layer
from tests.vectors.layer_chance import AXES, DIMENSION, FALSE, METRICS, Book, Chance, falsified
from tests.vectors.oracle import Oracle

NAMES = ("one", "two", "three")
ALIAS = "latest"
IDS = 40
# On a machine that others use too: it ends a hang, and measures nothing.
PATIENCE_S = 60.0
_EVERYTHING = 10_000
WEIGHTS = {
    "upsert": 340,
    "delete": 90,
    "search": 330,
    "lagging": 120,
    "point": 20,
    "recreate": 6,
    "away": 30,
    "wipe": 10,
    "drift": 12,
    "sweep": 10,
    "trim": 6,
    "restart": 4,
    "settle": 12,
}


class Violation(AssertionError):
    """The layer has answered what it must not."""


class LayerTrace:
    """`done` counts the operations by what they were, and what came of searches."""

    OPERATIONS = tuple(WEIGHTS)

    def __init__(self, layer: Layer, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._layer = layer
        self._chance = Chance(seed)
        self._dice = self._chance.dice
        self._oracle = Oracle()
        ada = layer.ada
        self._caller = Caller(user_id=ada, session_id=ada, roles=frozenset(), scopes=frozenset())
        self._books: dict[str, Book] = {}
        self._pointed = NAMES[0]
        # How many operations each engine is still away for.
        self._back: dict[Backend, int] = {}
        self._does: dict[str, Callable[[], Awaitable[None]]] = {name: getattr(self, f"_{name}") for name in WEIGHTS}

    async def run(self, operations: int) -> None:
        """Raises Violation."""
        for name in NAMES:
            await self._create(name)
        await self._layer.collections.point(self._layer.ada, ALIAS, self._pointed)
        for _ in range(operations):
            [name] = self._dice.choices(list(WEIGHTS), list(WEIGHTS.values()))
            await self._does[name]()
            self.done[name] += 1
            self._tick()
        await self._settle()
        await self._swept_clean()

    def _tick(self) -> None:
        for backend in list(self._back):
            self._back[backend] -= 1
            if self._back[backend] <= 0:
                del self._back[backend]
                self._layer.away.discard(backend)

    async def _create(self, name: str) -> None:
        metric = self._dice.choice(METRICS)
        backends = self._dice.sample(BACKENDS, self._dice.choice((1, 2, 3, 3)))
        await self._layer.collections.create(
            self._layer.ada, name, dimension=DIMENSION, metric=metric, model=None, backends=backends
        )
        kept = await self._layer.collections.find(self._layer.ada, name)
        self._books[name] = Book(kept)
        await self._oracle.ensure(self._books[name].space)

    def _chosen(self) -> tuple[str, Book]:
        """A collection, by its name or by its alias."""
        called = self._dice.choice((*NAMES, ALIAS))
        return called, self._books[self._pointed if called == ALIAS else called]

    async def _upsert(self) -> None:
        called, book = self._chosen()
        given = [self._chance.new(book, f"v{one}") for one in self._dice.sample(range(IDS), self._dice.randint(1, 6))]
        rows = [
            UpsertedVector(id=new.id, vector=new.vector.tolist(), text=new.text, metadata=new.metadata)  # type: ignore[arg-type]
            for new in given
        ]
        written = await upsert_vectors(
            UpsertVectors(collection=called, vectors=rows),
            caller=self._caller,
            collections=self._layer.collections,
            vectors=self._layer.vectors,
            service=self._layer.service,
        )
        points = book.upserted(given)
        self._check((written.changed, written.seq) == (len(points), book.seq), f"upsert: {written}, not {book.seq}")
        await self._oracle.apply(book.space, points, upto_seq=book.seq)

    async def _delete(self) -> None:
        called, book = self._chosen()
        ids = [f"v{one}" for one in self._dice.sample(range(IDS), self._dice.randint(1, 4))]
        written = await self._layer.vectors.delete(self._layer.ada, called, ids)
        gone = book.deleted(ids)
        self._check((written.changed, written.seq) == (len(gone), book.seq), f"delete: {written}, not {book.seq}")
        await self._oracle.apply(book.space, gone, upto_seq=book.seq)

    async def _search(self) -> None:
        """With `min_seq`, so that what was just written is in it: the oracle's answer, from whichever engine, and from
        the record where there is none."""
        called, book = self._chosen()
        filters, wanted = self._chance.wanted(book)
        is_hopeless = bool(book.seq) and set(book.kept.backends) <= self._layer.away
        asked = SearchVectors(
            vector=wanted.queries[0].tolist(),
            collection=called,
            top_k=wanted.top_k,
            filters=filters,
            contains=wanted.contains,
            backend=self._dice.choice((None, None, *book.kept.backends)),
            min_seq=book.seq,
        )
        answer = await search_vectors(
            asked,
            caller=self._caller,
            collections=self._layer.collections,
            vectors=self._layer.vectors,
            service=self._layer.service,
            answers=self._layer.answers,
        )
        self.done[answer.backend] += 1
        self.done["cached"] += answer.cached
        if not answer.cached:
            self._check(answer.backend == "postgres" or not is_hopeless, f"{answer.backend} answers, and is away")
        self._check((answer.collection, answer.lag_seq) == (book.kept.name, 0), f"{called}: {answer}")
        self._check(answer.degraded or answer.backend in book.kept.backends, f"{answer} is degraded")
        [right] = (await self._oracle.search(book.space, wanted)).of
        of = {row.number: row for row in book.rows.values()}
        wants = [
            (of[hit.number].vector_id, of[hit.number].text, repr(sorted(of[hit.number].metadata.items())))
            for hit in right
        ]
        found = [(one.id, one.text, repr(sorted(one.metadata.items()))) for one in answer.results]
        same = np.allclose([one.score for one in answer.results], [hit.score for hit in right], rtol=1e-5, atol=1e-6)
        self._check(found == wants and bool(same), f"{answer.backend} finds {answer.results}, not {right}: {filters}")

    async def _lagging(self) -> None:
        called, book = self._chosen()
        _, wanted = self._chance.wanted(book)
        answered = await self._answer(called, book, wanted)
        if answered is None or not book.seq:
            return
        at, [found] = answered.hits.applied_seq, answered.hits.of
        self._check(answered.lag_seq == book.seq - at, f"lag {answered.lag_seq} of {book.seq} at {at}")
        self.done["lagged"] += answered.lag_seq > 0
        changed = {row.number for row in book.rows.values() if row.seq > at}
        everything = Wanted(queries=wanted.queries, top_k=_EVERYTHING, filter=wanted.filter, contains=wanted.contains)
        [right] = (await self._oracle.search(book.space, everything)).of
        settled = [hit for hit in right if hit.number not in changed]
        held = [hit for hit in found if hit.number not in changed]
        wants = settled[: len(held)] if len(found) == wanted.top_k else settled
        self._check(_same(held, wants), f"{answered.backend} at {at} of {book.seq} finds {held}, not {wants}")

    async def _answer(self, called: str, book: Book, wanted: Wanted) -> Answered | None:
        """None where all of the collection's engines are away, as it then has to be."""
        kept = await self._layer.collections.find(self._layer.ada, called)
        self._check((kept.id, kept.seq) == (book.kept.id, book.seq), f"{called} is {kept}")
        backend = self._dice.choice((None, None, *kept.backends))
        asked = Searches(
            collection=kept,
            top_k=wanted.top_k,
            vectors=wanted.queries,
            filter=wanted.filter,
            contains=wanted.contains,
            backend=backend,
        )
        is_hopeless = bool(book.seq) and set(kept.backends) <= self._layer.away
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                answered = await self._layer.desk.search(asked)
            except Unavailable as exc:
                if is_hopeless:
                    self.done["no engine"] += 1
                    return None
                self._check(time.monotonic() < until, f"{called} in {kept.backends}: {exc.message} {exc.details}")
                self.done["asked again"] += 1
                await asyncio.sleep(0.05)
                continue
            self._check(not is_hopeless, f"{answered.backend} answers, and is away")
            self.done[answered.backend] += 1
            self.done["degraded"] += answered.degraded
            return answered

    async def _point(self) -> None:
        self._pointed = self._dice.choice(NAMES)
        await self._layer.collections.point(self._layer.ada, ALIAS, self._pointed)

    async def _recreate(self) -> None:
        """Under its old name, with other engines and another metric."""
        name = self._dice.choice(NAMES)
        self._check(await self._layer.collections.delete(self._layer.ada, name), f"{name} was not there")
        await self._oracle.drop(self._books[name].space)
        await self._create(name)
        # It went with its collection.
        if name == self._pointed:
            await self._layer.collections.point(self._layer.ada, ALIAS, name)

    async def _away(self) -> None:
        backend = self._dice.choice(BACKENDS)
        self._layer.away.add(backend)
        self._back[backend] = self._dice.randint(1, 40)

    async def _wipe(self) -> None:
        await self._layer.wipe(self._dice.choice(BACKENDS))

    async def _sweep(self) -> None:
        await self._layer.desk.sweep()

    async def _trim(self) -> None:
        await self._layer.database.execute("UPDATE vectors SET deleted_at = deleted_at - interval '2 days'")
        await self._layer.truth.trim()
        # What is forgotten has no number any more: under the same id comes another vector.
        for book in self._books.values():
            statement = "SELECT vector_id FROM vectors WHERE user_id = $1 AND collection_name = $2"
            rows = await self._layer.database.fetch(statement, self._layer.ada, book.kept.name)
            there = {row["vector_id"] for row in rows}
            gone = [one for one in book.rows if one not in there]
            self._check(all(book.rows[one].vector is None for one in gone), "what was there is forgotten")
            for one in gone:
                del book.rows[one]

    async def _restart(self) -> None:
        await self._layer.end()
        if self._dice.random() < 0.3:
            await self._layer.forget()
        await self._layer.begin()

    async def _drift(self) -> None:
        """An engine is falsified behind everybody's back, and found out."""
        _, book = self._chosen()
        backend = self._dice.choice(book.kept.backends)
        if backend in self._layer.away or not book.seq:
            return
        await self._caught_up(book, backend)
        engine, space = self._layer.held(backend, book.kept)
        kind = self._dice.choice(FALSE)
        live = [row for row in book.rows.values() if row.vector is not None]
        await engine.apply(space, [falsified(kind, live, book.last_number, book.seq)], upto_seq=book.seq)
        await self._layer.desk.sweep()
        await self._same(book, backend)
        self.done[f"drift: {kind}"] += 1

    async def _settle(self) -> None:
        """Every engine comes back, and is what the record is."""
        self._layer.away.clear()
        self._back.clear()
        for book in self._books.values():
            for backend in book.kept.backends:
                await self._caught_up(book, backend)
                await self._same(book, backend)

    async def _swept_clean(self) -> None:
        for state in await self._layer.desk.sweep():
            self._check(state.status == "ok", f"{state}")
        for state in await self._layer.desk.sweep():
            self._check((state.drifted, state.lag_seq) == (0, 0), f"{state}")
        for backend, opened in self._layer.engines.opened.items():
            of = {UUID(name.split("_")[1]) for name in await opened.engine.spaces()}
            there = {kept.id for kept in await self._layer.truth.collections() if backend in kept.backends}
            self._check(of <= there, f"{backend} keeps what belongs to nobody")

    async def _caught_up(self, book: Book, backend: Backend) -> None:
        """By its own word: what has been lost behind its back is noticed by whoever searches."""
        asked = Searches(
            collection=await self._layer.collections.find(self._layer.ada, book.kept.name),
            top_k=1,
            vectors=np.zeros((1, DIMENSION), np.float32) if book.kept.metric != "cosine" else AXES[:1],
            backend=backend,
            min_seq=book.seq,
        )
        until, said = time.monotonic() + PATIENCE_S, ""
        while book.seq:
            try:
                answered = await self._layer.desk.search(asked)
                if answered.backend == backend:
                    return
                said = f"{answered.backend} answers"
            except Unavailable as exc:
                said = f"{exc.message} {exc.details}"
            if time.monotonic() > until:
                self._check(False, f"{backend} is not at {book.seq}: {said}; {await self._state(book, backend)}")
            await asyncio.sleep(0.02)

    async def _state(self, book: Book, backend: Backend) -> str:
        """For whoever has to find out why."""
        station = self._layer.desk.stations[backend]
        places = station._places
        known = places.known.get(book.kept.id) if places else None
        return f"{await station.state()} {known} away: {self._layer.away}"

    async def _same(self, book: Book, backend: Backend) -> None:
        """As the record, as the model, and point by point."""
        if not book.seq:
            return
        engine, space = self._layer.held(backend, book.kept)
        numbers, seqs = await self._layer.truth.versions(book.kept.id, upto_seq=book.seq)
        live = sorted((row for row in book.rows.values() if row.vector is not None), key=lambda row: row.number)
        self._check(numbers.tolist() == [row.number for row in live], "the record holds other vectors")
        self._check(seqs.tolist() == [row.seq for row in live], "the record holds other versions")
        same = list(await engine.digest(space)) == digest_of(numbers, seqs).tolist()
        held = await engine.scroll(space)
        self._check(
            same, f"{backend} differs: {[(p.number, p.seq) for p in held]} {list(zip(numbers, seqs, strict=True))}"
        )
        self._check([_shown(point) for point in held] == [_shown(row) for row in live], f"{backend} holds others")

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(f"after {sum(self.done[name] for name in WEIGHTS)} operations: {what}")


def _same(found: Sequence[Hit], right: Sequence[Hit]) -> bool:
    return [hit.number for hit in found] == [hit.number for hit in right] and bool(
        np.allclose([hit.score for hit in found], [hit.score for hit in right], rtol=1e-5, atol=1e-6)
    )


def _shown(point: Point) -> tuple[object, ...]:
    assert point.vector is not None
    metadata = {key: list(held) if isinstance(held, list | tuple) else held for key, held in point.metadata.items()}
    return point.number, point.vector_id, point.seq, point.vector.tolist(), repr(sorted(metadata.items()))
