"""Who answers a search: the engine that it is for, and another one when that is away, slow, or behind."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pytest

from shared.config import Settings
from shared.errors import Invalid, NotFound, Unavailable
from shared.ports.vector_engine import Backend, Hits, Point, Space, Wanted
from shared.ports.vectors import NewVector
from shared.vectors.filters import Eq
from shared.vectors.serving.desk import Desk
from shared.vectors.serving.ejection import Ejection
from tests.vectors.oracle import Oracle
from tests.vectors.served import Fakes, Record, numbers, play, searches, until


class Slow(Oracle):
    """Answers, and applies, when it is let go."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.searching = asyncio.Event()
        self.applying = asyncio.Event()
        self.searching.set()
        self.applying.set()

    async def search(self, space: Space, wanted: Wanted) -> Hits:
        await self.searching.wait()
        return await super().search(space, wanted)

    async def apply(self, space: Space, points: Sequence[Point], *, upto_seq: int) -> None:
        await self.applying.wait()
        await super().apply(space, points, upto_seq=upto_seq)


async def all_hold(desk: Desk, record: Record) -> None:
    kept = await record.kept()

    async def there() -> bool:
        return all(desk.stations[backend].applied_seq(kept.id) == kept.seq for backend in kept.backends)

    await until(there)


def test_each_search_goes_to_the_engine_that_is_for_it(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss", "qdrant", "chroma")
        await record.upsert(a=1, b=2, c=3)
        async with record.desk(Fakes(Oracle("faiss"), Oracle("qdrant"), Oracle("chroma"))) as desk:
            kept = await record.kept()
            raw = await desk.search(searches(kept))
            filtered = await desk.search(searches(kept, filter=Eq("k", 1)))
            within = await desk.search(searches(kept, contains="x"))
            asked_for = await desk.search(searches(kept, backend="chroma"))
            found = [(each.backend, numbers(each), each.degraded) for each in (raw, filtered, within, asked_for)]
            assert found == [
                ("faiss", [0, 1, 2], False),
                ("qdrant", [], False),
                ("chroma", [], False),
                ("chroma", [0, 1, 2], False),
            ]
            assert (raw.hits.exact, raw.hits.applied_seq, raw.lag_seq, raw.vectors) == (True, 3, 0, None)

    play(settings, scenario)


def test_an_engine_that_the_collection_is_not_in_cannot_be_asked_for(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        async with record.desk(Fakes(Oracle("faiss"))) as desk:
            with pytest.raises(Invalid, match="'chroma'"):
                await desk.search(searches(await record.kept(), backend="chroma"))

    play(settings, scenario)


def test_a_collection_with_nothing_in_it_has_nothing_that_is_near(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        kept = await record.create("chroma")
        async with record.desk(Fakes()) as desk:
            found = await desk.search(searches(kept))
            assert (numbers(found), found.backend, found.degraded, found.lag_seq) == ([], "chroma", False, 0)

    play(settings, scenario)


def test_the_next_engine_answers_for_one_that_is_away_and_the_answer_says_so(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss", "qdrant")
        await record.upsert(a=1, b=2)
        faiss, qdrant = Oracle("faiss"), Oracle("qdrant")
        async with record.desk(Fakes(faiss, qdrant)) as desk:
            kept = await record.kept()
            faiss.is_down = True
            for _ in range(10):
                found = await desk.search(searches(kept))
                assert (found.backend, found.degraded, numbers(found)) == ("qdrant", True, [0, 1])
            assert desk.stations["faiss"].ejection.lasts
            faiss.is_down = False

            async def is_back() -> bool:
                return (await desk.search(searches(kept))).backend == "faiss"

            await until(is_back)
            qdrant.is_down = faiss.is_down = True
            with pytest.raises(Unavailable):
                await desk.search(searches(kept))

    play(settings, scenario)


def test_an_engine_that_does_not_answer_is_not_waited_for_while_another_can(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss", "qdrant")
        await record.upsert(a=1)
        faiss = Slow("faiss")
        async with record.desk(Fakes(faiss, Oracle("qdrant"))) as desk:
            kept = await record.kept()
            faiss.searching.clear()
            found = await desk.search(searches(kept))
            assert (found.backend, found.degraded) == ("qdrant", True)
            # Alone it is waited for.
            slow = asyncio.create_task(desk.search(searches(await record.kept())))
            faiss.searching.set()
            assert (await slow).backend in ("faiss", "qdrant")

    play(settings, scenario)


def test_an_engine_that_cannot_be_opened_holds_up_no_other(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("chroma", "faiss")
        await record.upsert(a=1)
        async with record.desk(Fakes(Oracle("faiss"))) as desk:
            found = await desk.search(searches(await record.kept(), contains=None, backend="chroma"))
            assert (found.backend, found.degraded, numbers(found)) == ("faiss", True, [0])
            states = {state.backend: state for state in await desk.engines()}
            assert [(states[name].status, states[name].detail) for name in ("faiss", "qdrant", "chroma")] == [
                ("ok", ""),
                ("ok", "no collection uses it"),
                ("down", "chroma is not installed here"),
            ]

    play(settings, scenario)


def test_who_has_just_written_is_answered_from_it(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        async with record.desk(Fakes(Oracle("faiss"))) as desk:
            for number in range(20):
                written = await record.upsert(**{f"v{number}": number})
                found = await desk.search(searches(await record.kept(), number, min_seq=written.seq))
                assert (numbers(found)[0], found.lag_seq) == (number, 0)

    play(settings, scenario)


def test_an_engine_that_is_not_as_far_is_passed_over(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss", "qdrant")
        faiss = Slow("faiss")
        async with record.desk(Fakes(faiss, Oracle("qdrant"))) as desk:
            await record.upsert(a=1)
            await all_hold(desk, record)
            faiss.applying.clear()
            written = await record.upsert(b=2)
            kept = await record.kept()
            behind = await desk.search(searches(kept))
            assert (behind.backend, numbers(behind), behind.lag_seq, behind.degraded) == ("faiss", [0], 1, False)
            found = await desk.search(searches(kept, min_seq=written.seq))
            assert (found.backend, numbers(found), found.lag_seq, found.degraded) == ("qdrant", [0, 1], 0, True)
            with pytest.raises(Unavailable, match="99"):
                await desk.search(searches(kept, min_seq=99))
            faiss.applying.set()

    play(settings, scenario)


def test_an_engine_that_has_lost_a_collection_is_filled_again_before_it_answers(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2)
        faiss = Oracle("faiss")
        async with record.desk(Fakes(faiss)) as desk:
            faiss.spaces_held.clear()

            async def answers() -> bool:
                with suppress(Unavailable):
                    return numbers(await desk.search(searches(await record.kept()))) == [0, 1]
                return False

            await until(answers)

    play(settings, scenario)


def test_texts_are_embedded_by_the_collections_own_model(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        model = next(each for each in record.embedding.models() if each.name == "hash")
        await record.create("faiss", model=model.id, dimension=model.dimension, metric="cosine")
        texts = ["the cat sat on the mat", "stocks fell sharply", "a recipe for bread"]
        embedded = await record.embedding.embed(texts, model="hash")
        new = [NewVector(id=f"t{n}", vector=row) for n, row in enumerate(embedded.vectors)]
        await record.vectors.upsert(record.ada, "papers", new, model=model.id)
        await record.create("faiss", name="bare")
        async with record.desk(Fakes(Oracle("faiss"))) as desk:
            kept = await record.kept()
            none = np.empty((0, kept.dimension), np.float32)
            found = await desk.search(searches(kept, vectors=none, texts=["bread recipe", "cat on a mat"]))
            assert [of[0].number for of in found.hits.of] == [2, 0]
            assert found.vectors is not None and found.vectors.shape == (2, model.dimension)
            bare = await record.kept("bare")
            with pytest.raises(Invalid, match="no model"):
                await desk.search(searches(bare, vectors=np.empty((0, 3), np.float32), texts=["x"]))
            with pytest.raises(NotFound):
                await desk.embed(["x"], model="gone", kind="query")

    play(settings, scenario)


def test_an_engine_that_fails_again_and_again_is_asked_last_for_a_while() -> None:
    now = 100.0
    ejection = Ejection(most=2, ejected_s=5.0, clock=lambda: now)
    states = []
    for passed_s, happen in ((0, ejection.failed), (0, ejection.failed), (5, ejection.failed), (1, ejection.succeeded)):
        now += passed_s
        before = ejection.lasts
        happen()
        states.append((before, ejection.lasts))
    assert states == [(False, False), (False, True), (False, True), (True, False)]
