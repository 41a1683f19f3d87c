"""The record of vectors: numbered in order of commit, each user's own, and told to whoever follows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from shared.config import Settings
from shared.errors import Conflict, Invalid, NotFound
from shared.ports.vector_engine import Space
from shared.ports.vectors import Alias, Collections, NewVector, Truth, Vectors, Written
from shared.stores.postgres import collections
from shared.stores.postgres.database import Database
from shared.vectors.filters import Eq
from shared.wiring import Ports
from tests.people import place


@dataclass(frozen=True)
class Here:
    ada: UUID
    bob: UUID
    collections: Collections
    vectors: Vectors
    truth: Truth
    database: Database

    async def upsert(
        self,
        *ids: str,
        value: float = 1.0,
        name: str = "papers",
        collection_id: UUID | None = None,
        **more: Any,
    ) -> Written:
        new = [vector(one, value, **more) for one in ids]
        return await self.vectors.upsert(self.ada, name, new, model=None, collection_id=collection_id)

    async def events(self) -> list[tuple[str, int, int]]:
        rows = await self.database.fetch("SELECT type, data FROM events WHERE type LIKE 'vectors.%' ORDER BY position")
        return [(row["type"], row["data"]["count"], row["data"]["seq"]) for row in rows]


def vector(id: str, value: float = 1.0, **more: Any) -> NewVector:
    return NewVector(id=id, vector=np.full(3, value, np.float32), **more)


def play(settings: Settings, scenario: Callable[[Here], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), place(settings) as people, Ports(settings) as ports:
            ada, bob = await people.register("ada"), await people.register("bob")
            here = Here(
                ada=ada.id,
                bob=bob.id,
                collections=await ports.open(Collections),
                vectors=await ports.open(Vectors),
                truth=await ports.open(Truth),
                database=await ports.open(Database),
            )
            await create(here, ada.id)
            await scenario(here)

    asyncio.run(main())


async def create(here: Here, user_id: UUID, name: str = "papers", *, model: str | None = None) -> None:
    await here.collections.create(user_id, name, dimension=3, metric="l2", model=model, backends=("faiss", "qdrant"))


def test_writes_are_numbered_one_after_another_and_told(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        assert await here.upsert("a", "b") == Written(changed=2, seq=2)
        assert await here.upsert("c", "a", value=2.0) == Written(changed=2, seq=4)
        assert await here.vectors.delete(here.ada, "papers", ["b", "z"]) == Written(changed=1, seq=5)
        assert await here.events() == [
            ("vectors.upserted.v1", 2, 2),
            ("vectors.upserted.v1", 2, 4),
            ("vectors.deleted.v1", 1, 5),
        ]
        collection = await here.collections.get(here.ada, "papers")
        assert (collection.vectors, collection.seq) == (2, 5)
        kept = await here.collections.find(here.ada, "papers")
        points = await here.truth.since(kept.id, 0)
        assert [(p.seq, p.number, p.vector_id, p.vector is None) for p in points] == [
            (3, 2, "c", False),
            (4, 0, "a", False),
            (5, 1, "b", True),
        ]
        assert [p.seq for p in await here.truth.since(kept.id, 3, limit=1)] == [4]

    play(settings, scenario)


def test_what_is_the_same_as_before_is_no_change(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", metadata={"x": 1, "y": [1, "2"]}, text="one")
        assert await here.upsert("a", metadata={"y": [1, "2"], "x": 1}, text="one") == Written(changed=0, seq=1)
        assert await here.upsert("a", metadata={"x": True, "y": [1, "2"]}, text="one") == Written(changed=1, seq=2)
        assert await here.upsert("a", metadata={"x": True, "y": [1, "2"]}, text="two") == Written(changed=1, seq=3)
        assert len(await here.events()) == 3

    play(settings, scenario)


def test_a_vector_is_read_as_it_was_written_and_keeps_its_age(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", metadata={"tags": ["x"], "open": True}, text="one")
        first = await here.vectors.get(here.ada, "papers", "a")
        await here.upsert("a", value=2.5)
        second = await here.vectors.get(here.ada, "papers", "a")
        assert (first.metadata, first.text, first.vector.tolist()) == ({"tags": ["x"], "open": True}, "one", [1.0] * 3)
        assert (second.metadata, second.text, second.vector.tolist()) == ({}, None, [2.5] * 3)
        assert (first.created_at, first.number) == (second.created_at, second.number)

    play(settings, scenario)


def test_what_was_deleted_is_not_found_and_comes_back_under_its_number(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", "b")
        await here.vectors.delete(here.ada, "papers", ["a"])
        with pytest.raises(NotFound):
            await here.vectors.get(here.ada, "papers", "a")
        kept = await here.collections.find(here.ada, "papers")
        assert set(await here.vectors.those(kept, [0, 1, 7])) == {1}
        assert await here.vectors.delete(here.ada, "papers", ["a"]) == Written(changed=0, seq=3)
        assert await here.upsert("a") == Written(changed=1, seq=4)
        assert (await here.vectors.get(here.ada, "papers", "a")).number == 0

    play(settings, scenario)


def test_a_reader_that_tails_misses_nothing_of_two_writers_who_cross(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        kept = await here.collections.find(here.ada, "papers")
        seen: dict[str, int] = {}
        done = asyncio.Event()

        async def write(writer: int) -> None:
            for number in range(60):
                await here.upsert(f"{writer}-{number}", f"both-{number}", value=float(writer))

        async def tail() -> None:
            reached = 0
            while True:
                last = done.is_set()
                for point in await here.truth.since(kept.id, reached, limit=7):
                    assert point.seq > reached
                    seen[point.vector_id], reached = point.seq, point.seq
                if last and reached == (await here.collections.find(here.ada, "papers")).seq:
                    return
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(tail())
            await asyncio.gather(*map(write, range(4)))
            done.set()
        held = {p.vector_id: p.seq for p in await here.truth.since(kept.id, 0, limit=10_000)}
        assert seen == held and len(held) == 300

    play(settings, scenario)


def test_another_users_collection_is_not_there(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a")
        for act in (
            here.collections.find(here.bob, "papers"),
            here.vectors.get(here.bob, "papers", "a"),
            here.vectors.delete(here.bob, "papers", ["a"]),
            here.vectors.upsert(here.bob, "papers", [vector("b")], model=None),
            here.collections.point(here.bob, "mine", "papers"),
        ):
            with pytest.raises(NotFound):
                await act
        assert not await here.collections.delete(here.bob, "papers")
        await create(here, here.bob)
        assert (await here.collections.find(here.bob, "papers")).seq == 0
        assert (await here.vectors.get(here.ada, "papers", "a")).id == "a"

    play(settings, scenario)


def test_vectors_of_another_model_or_size_are_refused_and_nothing_is_written(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await create(here, here.ada, "texts", model="minilm-int8")
        with pytest.raises(Conflict):
            await here.vectors.upsert(here.ada, "texts", [vector("a")], model=None)
        with pytest.raises(Conflict):
            await here.vectors.upsert(here.ada, "papers", [vector("a")], model="minilm-int8")
        wrong = NewVector(id="b", vector=np.zeros(4, np.float32))
        with pytest.raises(Invalid, match="has 4 numbers"):
            await here.vectors.upsert(here.ada, "papers", [vector("a"), wrong], model=None)
        with pytest.raises(Invalid, match="twice"):
            await here.upsert("a", "a")
        listed = await here.collections.list(here.ada, limit=10, cursor=None)
        assert [(c.name, c.vectors, c.seq) for c in listed.collections] == [("papers", 0, 0), ("texts", 0, 0)]

    play(settings, scenario)


def test_an_alias_leads_to_one_collection_and_is_swapped_at_once(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await create(here, here.ada, "papers-2")
        assert await here.collections.point(here.ada, "live", "papers") == Alias(alias="live", collection="papers")
        await here.upsert("a", name="live")
        await here.collections.point(here.ada, "live", "papers-2")
        assert (await here.collections.find(here.ada, "live")).name == "papers-2"
        with pytest.raises(NotFound):
            await here.vectors.get(here.ada, "live", "a")
        for taken in (create(here, here.ada, "live"), here.collections.point(here.ada, "papers", "papers-2")):
            with pytest.raises(Conflict):
                await taken
        assert await here.collections.delete(here.ada, "papers-2")
        assert (await here.collections.aliases(here.ada, limit=1, cursor=None)).aliases == []
        assert not await here.collections.unpoint(here.ada, "live")

    play(settings, scenario)


def test_an_act_for_one_collection_does_not_fall_on_another_that_has_its_name(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        old = await here.collections.find(here.ada, "papers")
        assert (await here.upsert("a", collection_id=old.id)).changed == 1
        await here.collections.delete(here.ada, "papers")
        await create(here, here.ada)
        await here.upsert("a")
        for act in (
            here.upsert("b", collection_id=old.id),
            here.vectors.delete(here.ada, "papers", ["a"], collection_id=old.id),
            here.collections.pin(old, "minilm-int8"),
        ):
            with pytest.raises(NotFound):
                await act
        new = await here.collections.find(here.ada, "papers")
        assert (new.seq, new.model) == (1, None)
        assert (await here.vectors.delete(here.ada, "papers", ["a"], collection_id=new.id)).changed == 1

    play(settings, scenario)


def test_collections_and_aliases_are_listed_page_by_page_by_name(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        for number in (3, 1, 2, 0):
            await create(here, here.ada, f"c{number}")
            await here.collections.point(here.ada, f"a{number}", f"c{number}")
        await create(here, here.bob, "c9")
        await here.collections.point(here.bob, "a9", "c9")

        async def listed(collections: bool) -> list[list[str]]:
            pages: list[list[str]] = []
            cursor: str | None = None
            while True:
                if collections:
                    page = await here.collections.list(here.ada, limit=2, cursor=cursor)
                    pages.append([one.name for one in page.collections])
                    cursor = page.next_cursor
                else:
                    found = await here.collections.aliases(here.ada, limit=2, cursor=cursor)
                    pages.append([f"{one.alias} {one.collection}" for one in found.aliases])
                    cursor = found.next_cursor
                if cursor is None:
                    return pages

        assert await listed(True) == [["c0", "c1"], ["c2", "c3"], ["papers"]]
        assert await listed(False) == [["a0 c0", "a1 c1"], ["a2 c2", "a3 c3"]]
        for wrong in ("", "x", "AA", "w7w", "\0"):
            with pytest.raises(Invalid):
                await here.collections.list(here.ada, limit=2, cursor=wrong)
            with pytest.raises(Invalid):
                await here.collections.aliases(here.ada, limit=2, cursor=wrong)

    play(settings, scenario)


def test_nobody_has_more_aliases_than_that_and_those_that_are_there_still_move(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collections, "MOST_ALIASES", 2)

    async def scenario(here: Here) -> None:
        await create(here, here.ada, "papers-2")
        for alias in ("one", "two"):
            await here.collections.point(here.ada, alias, "papers")
        with pytest.raises(Conflict, match="more than 2 aliases"):
            await here.collections.point(here.ada, "three", "papers")
        assert await here.collections.alias(here.ada, "three") is None
        await here.collections.point(here.ada, "two", "papers-2")
        assert await here.collections.alias(here.ada, "two") == Alias(alias="two", collection="papers-2")
        assert await here.collections.unpoint(here.ada, "one")
        await here.collections.point(here.ada, "three", "papers")
        assert await here.collections.alias(here.ada, "one") is None

    play(settings, scenario)


async def trim(here: Here) -> None:
    """A day later."""
    await here.database.execute("UPDATE vectors SET deleted_at = deleted_at - interval '25 hours'")
    await here.truth.trim()
    await here.database.execute("UPDATE vectors SET deleted_at = deleted_at + interval '25 hours'")


def test_the_deleted_are_forgotten_a_day_later_once_every_engine_has_passed_them(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", "b")
        await here.vectors.delete(here.ada, "papers", ["a"])
        kept = await here.collections.find(here.ada, "papers")
        space = Space(collection_id=kept.id, epoch=0, dimension=3, metric="l2")
        await here.truth.note(space, "faiss", applied_seq=3)
        await trim(here)
        assert [p.vector_id for p in await here.truth.since(kept.id, 0)] == ["b", "a"]
        await here.truth.note(space, "qdrant", applied_seq=3, error="slow")
        await here.truth.trim()
        assert [p.vector_id for p in await here.truth.since(kept.id, 0)] == ["b", "a"]
        await trim(here)
        assert [p.vector_id for p in await here.truth.since(kept.id, 0)] == ["b"]
        assert (await here.collections.find(here.ada, "papers")).trimmed_seq == 3
        noted = (await here.truth.progress("qdrant"))[kept.id]
        assert (noted.epoch, noted.applied_seq, noted.error) == (0, 3, "slow")

    play(settings, scenario)


def test_versions_are_those_up_to_a_barrier(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", "b", "c")
        await here.vectors.delete(here.ada, "papers", ["b"])
        await here.upsert("d")
        kept = await here.collections.find(here.ada, "papers")
        numbers, seqs = await here.truth.versions(kept.id, upto_seq=4)
        assert (numbers.tolist(), seqs.tolist()) == ([0, 2], [1, 3])
        assert [p.vector_id for p in await here.truth.points(kept.id, [1, 3, 9])] == ["b", "d"]

    play(settings, scenario)


def test_every_vector_can_be_compared_in_the_record_itself(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        for number in range(5):
            await here.upsert(f"v{number}", value=float(number), metadata={"odd": number % 2 == 1})
        kept = await here.collections.find(here.ada, "papers")
        query = np.full(3, 1.9, np.float32)
        found = await here.vectors.scan(kept, query, top_k=2, filter=Eq("odd", True), most=5)
        assert found is not None and [number for number, _ in found] == [1, 3]
        assert found[0][1] == pytest.approx(1 / (1 + 0.9 * 3**0.5), rel=1e-5)
        assert await here.vectors.scan(kept, query, top_k=2, filter=None, most=4) is None

    play(settings, scenario)
