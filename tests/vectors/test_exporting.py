"""Pages of an export: all of a collection, whatever is written between them."""

import random
from typing import Any

import numpy as np
import pytest

from functions.vectors.export_vectors import ExportVectors, export_vectors
from shared.config import Settings
from shared.errors import Conflict, Invalid, NotFound
from shared.function import Caller
from shared.ports.vectors import NewVector
from shared.vectors.exporting import ExportPage, exported
from tests.vectors.test_truth import Here, create, play


async def page(here: Here, cursor: str | None = None, *, limit: int = 3, name: str = "papers") -> ExportPage:
    user: Any = here.ada
    caller = Caller(user_id=user, session_id=user, roles=frozenset(), scopes=frozenset())
    asked = ExportVectors(name=name, cursor=cursor, limit=limit)
    return await export_vectors(asked, caller=caller, collections=here.collections, vectors=here.vectors)


def test_a_page_holds_vectors_as_they_were_written(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", metadata={"tags": ["x", 1, True], "n": 1.5}, text="one")
        await here.upsert("b", "c")
        await here.vectors.delete(here.ada, "papers", ["b"])
        await here.collections.point(here.ada, "latest", "papers")
        found = await page(here, name="latest")
        assert found.model_dump(exclude={"vectors"}) == {
            "collection": "papers",
            "dimension": 3,
            "metric": "l2",
            "model": None,
            "from_seq": 4,
            "seq": 4,
            "next_cursor": None,
        }
        first, last = found.vectors
        shown = first.model_dump(exclude={"created_at"})
        metadata = {"n": 1.5, "tags": ["x", 1, True]}
        assert shown == {"id": "a", "seq": 1, "vector": [1.0] * 3, "text": "one", "metadata": metadata}
        assert repr(shown["metadata"]) == repr(metadata)
        assert (last.id, last.seq, last.text, last.metadata) == ("c", 3, None, {})

    play(settings, scenario)


def test_all_pages_together_are_the_collection_whatever_is_written_between_them(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        dice = random.Random(7)
        ids = [f"v{number}" for number in range(30)]
        for _ in range(8):
            held: dict[str, tuple[int, float] | None] = {}
            await here.upsert(*ids, value=dice.random())
            found, pages = await page(here, limit=4), 1
            while True:
                for vector in found.vectors:
                    held[vector.id] = None if vector.vector is None else (vector.seq, vector.vector[0])
                if found.next_cursor is None:
                    break
                if dice.random() < 0.5:
                    await here.upsert(*dice.sample(ids, 3), f"new {dice.randrange(5)}", value=dice.random())
                    await here.vectors.delete(here.ada, "papers", dice.sample(ids, 2))
                found, pages = await page(here, found.next_cursor, limit=dice.choice((1, 4, 9))), pages + 1
            kept = await here.collections.find(here.ada, "papers")
            assert (found.seq, pages > 3) == (kept.seq, True)
            there = await here.truth.since(kept.id, 0)
            right = {
                point.vector_id: (point.seq, float(point.vector[0])) for point in there if point.vector is not None
            }
            assert {one: value for one, value in held.items() if value} == right

    play(settings, scenario)


def test_what_is_deleted_before_an_export_begins_is_not_in_it(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", "b", "c", "d", "e")
        await here.vectors.delete(here.ada, "papers", ["a", "e"])
        found = await page(here)
        assert [vector.id for vector in found.vectors] == ["b", "c", "d"]
        assert found.next_cursor is not None
        await here.vectors.delete(here.ada, "papers", ["c"])
        found = await page(here, found.next_cursor)
        assert [(vector.id, vector.vector, vector.seq) for vector in found.vectors] == [("c", None, 8)]

    play(settings, scenario)


def test_a_cursor_of_another_collection_or_from_too_long_ago_begins_anew(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.upsert("a", "b", "c", "d")
        cursor = (await page(here)).next_cursor
        await here.vectors.delete(here.ada, "papers", ["a"])
        await here.database.execute("UPDATE vector_collections SET trimmed_seq = 5")
        with pytest.raises(Conflict):
            await page(here, cursor)
        await here.collections.delete(here.ada, "papers")
        with pytest.raises(NotFound):
            await page(here, cursor)
        await create(here, here.ada)
        with pytest.raises(Conflict):
            await page(here, cursor)
        for wrong in ("x", "YQ", "é", cursor[:-4] if cursor else ""):
            with pytest.raises((Invalid, Conflict)):
                await page(here, wrong)

    play(settings, scenario)


def test_pages_of_wide_vectors_hold_fewer_of_them(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.collections.create(here.ada, "wide", dimension=4096, metric="dot", model=None, backends=("faiss",))
        wide = [NewVector(id=f"{number}", vector=np.ones(4096, np.float32)) for number in range(60)]
        await here.vectors.upsert(here.ada, "wide", wide, model=None)
        kept = await here.collections.find(here.ada, "wide")
        found = await exported(here.vectors, kept, cursor=None, limit=1000)
        assert (len(found.vectors), found.next_cursor is None) == (48, False)

    play(settings, scenario)
