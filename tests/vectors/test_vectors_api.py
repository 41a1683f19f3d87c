"""Collections, upserts and searches as their callers know them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from functions.vectors.create_collection import CreateCollection, create_collection
from functions.vectors.delete_alias import DeleteAlias, delete_alias
from functions.vectors.delete_collection import DeleteCollection, delete_collection
from functions.vectors.delete_vector import DeleteVector, delete_vector
from functions.vectors.embed_texts import EmbeddedTexts, EmbedTexts, embed_texts
from functions.vectors.get_alias import GetAlias, get_alias
from functions.vectors.get_collection import GetCollection, get_collection
from functions.vectors.get_vector import GetVector, get_vector
from functions.vectors.list_aliases import ListAliases, list_aliases
from functions.vectors.list_collections import ListCollections, list_collections
from functions.vectors.list_engines import list_engines
from functions.vectors.list_models import list_models
from functions.vectors.search_vectors import SearchVectors, search_vectors
from functions.vectors.set_alias import SetAlias, set_alias
from functions.vectors.upsert_vectors import Upserted, UpsertVectors, upsert_vectors
from shared import backlog
from shared.config import Settings
from shared.crypto import Codec
from shared.errors import Busy, Conflict, Invalid, NotFound, SutazaiError, Unavailable
from shared.function import Caller
from shared.payload import from_body
from shared.ports.vector_answers import SearchAnswer, VectorAnswers
from shared.ports.vector_service import Found, Query
from shared.ports.vectors import Alias, Collection, Collections, Kept, Truth, Vectors
from shared.stores import vector_answers
from shared.stores.postgres.database import Database
from shared.stores.redis import Cache
from shared.stores.vector_answers import RedisVectorAnswers
from shared.strict_json import dump
from shared.vectors import searching
from shared.wiring import Ports
from tests.people import place
from tests.vectors.fake_service import HASH, FakeService

TEXTS = {
    "wake": "The keeper wakes an agent whose tasks are waiting.",
    "lock": "A lock is taken by one process at a time.",
    "seal": "Lines of the audit trail are sealed every second.",
    "snap": "Snapshots of the index lie in the object store.",
}


@dataclass
class Here:
    ada: Caller
    bob: Caller
    collections: Collections
    vectors: Vectors
    answers: VectorAnswers
    truth: Truth
    database: Database
    service: FakeService

    async def create(self, name: str = "papers", *, by: Caller | None = None, **more: Any) -> Collection:
        request = from_body(CreateCollection, dump({"name": name, **more}), {})
        assert isinstance(request, CreateCollection)
        return await create_collection(
            request, caller=by or self.ada, collections=self.collections, service=self.service
        )

    async def listed(self, *, by: Caller | None = None) -> list[Collection]:
        page = await list_collections(ListCollections(), caller=by or self.ada, collections=self.collections)
        return page.collections

    async def upsert(self, *vectors: Any, to: str = "papers", by: Caller | None = None, **more: Any) -> Upserted:
        request = from_body(UpsertVectors, dump({"collection": to, "vectors": list(vectors), **more}), {})
        assert isinstance(request, UpsertVectors)
        return await upsert_vectors(
            request, caller=by or self.ada, collections=self.collections, vectors=self.vectors, service=self.service
        )

    async def search(self, of: str = "papers", *, by: Caller | None = None, **asked: Any) -> SearchAnswer:
        request = from_body(SearchVectors, dump({"collection": of, **asked}), {})
        assert isinstance(request, SearchVectors)
        return await search_vectors(
            request,
            caller=by or self.ada,
            collections=self.collections,
            vectors=self.vectors,
            service=self.service,
            answers=self.answers,
        )

    async def embed(self, *texts: str, **more: Any) -> EmbeddedTexts:
        request = from_body(EmbedTexts, dump({"texts": list(texts), **more}), {})
        assert isinstance(request, EmbedTexts)
        return await embed_texts(request, caller=self.ada, collections=self.collections, service=self.service)

    async def write_texts(self, **more: Any) -> Upserted:
        return await self.upsert(*({"id": one, "text": text} for one, text in TEXTS.items()), **more)

    async def write_points(self) -> Upserted:
        return await self.upsert(*({"id": str(n), "vector": [n, 1], "metadata": {"n": n}} for n in range(5)))


def play(settings: Settings, scenario: Callable[[Here], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(120), place(settings) as people, Ports(settings) as ports:
            truth = await ports.open(Truth)
            here = Here(
                ada=await people.registered_caller("ada"),
                bob=await people.registered_caller("bob"),
                collections=await ports.open(Collections),
                vectors=await ports.open(Vectors),
                answers=await ports.open(VectorAnswers),
                truth=truth,
                database=people.database,
                service=FakeService(truth),
            )
            await scenario(here)

    asyncio.run(main())


async def refused(work: Awaitable[object]) -> tuple[type[SutazaiError], str]:
    try:
        await work
    except SutazaiError as error:
        return type(error), error.message
    raise AssertionError("nothing was refused")


def ids(answer: SearchAnswer) -> list[str]:
    return [result.id for result in answer.results]


# --- collections ---------------------------------------------------------------------------------------------------


def test_a_collection_is_made_listed_and_deleted(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        refusal = await refused(here.create(dimension=2, backends=["faiss", "chroma"]))
        assert refusal == (Conflict, "this platform runs without Chroma")
        assert (await here.create("both", dimension=2, backends=["qdrant", "faiss", "qdrant"])).backends == (
            "qdrant",
            "faiss",
        )
        await delete_collection(DeleteCollection(name="both"), caller=here.ada, collections=here.collections)
        made = await here.create(dimension=2)
        assert (made.metric, made.backends) == ("cosine", ("faiss", "qdrant"))
        assert await here.listed() == [made]
        assert await here.listed(by=here.bob) == []
        asked = GetCollection(name="papers")
        assert await get_collection(asked, caller=here.ada, collections=here.collections) == made
        for stranger in (
            get_collection(asked, caller=here.bob, collections=here.collections),
            delete_collection(DeleteCollection(name="papers"), caller=here.bob, collections=here.collections),
            here.search(by=here.bob, vector=[1, 1]),
            here.upsert({"id": "a", "vector": [1, 1]}, by=here.bob),
        ):
            assert await refused(stranger) == (NotFound, "no collection 'papers'")
        assert (await refused(here.create(dimension=3)))[0] is Conflict
        await delete_collection(DeleteCollection(name="papers"), caller=here.ada, collections=here.collections)
        assert (await refused(here.search(vector=[1, 1])))[0] is NotFound

    play(settings, scenario)


def test_a_model_brings_its_dimension(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        exact = {"model": HASH.id, "dimension": HASH.dimension}
        every: dict[str, dict[str, Any]] = {"a": {}, "b": {"model": "hash"}, "c": exact}
        for name, asked in every.items():
            made = await here.create(name, **asked)
            assert (made.model, made.dimension) == (HASH.id, HASH.dimension)
        assert (await here.create("d", model="elsewhere-3", dimension=7)).model == "elsewhere-3"
        assert (await refused(here.create("e", model="hash", dimension=7)))[0] is Invalid
        assert (await refused(here.create("e", model="elsewhere-3")))[0] is NotFound
        assert (await list_models(service=here.service)).models == [HASH]
        here.service.is_down = True
        assert (await here.create("e", dimension=7)).dimension == 7
        assert (await refused(here.create("f")))[0] is Unavailable

    play(settings, scenario)


@pytest.mark.parametrize("name", ["", "search", "collections", "../up", "a b", "x" * 101, "a\n", "é", ".hidden"])
def test_names_that_no_path_leads_to_are_refused(settings: Settings, name: str) -> None:
    async def scenario(here: Here) -> None:
        assert (await refused(here.create(name, dimension=2)))[0] is Invalid
        assert await here.listed() == []

    play(settings, scenario)


def test_an_alias_leads_to_the_one_collection_and_then_to_the_other(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        for name in ("old", "new"):
            await here.create(name, dimension=2)
            await here.upsert({"id": name, "vector": [1, 0]}, to=name)
        ports = {"caller": here.ada, "collections": here.collections}
        for name in ("old", "new"):
            pointed = await set_alias(SetAlias(name="current", collection=name), **ports)  # type: ignore[arg-type]
            assert pointed == Alias(alias="current", collection=name)
            found = await here.search("current", vector=[1, 0])
            assert (ids(found), found.collection) == ([name], name)
        assert (await here.upsert({"id": "more", "vector": [0, 1]}, to="current")).collection == "new"
        assert await get_alias(GetAlias(name="current"), **ports) == pointed  # type: ignore[arg-type]
        assert (await list_aliases(ListAliases(), **ports)).aliases == [pointed]  # type: ignore[arg-type]
        theirs = get_alias(GetAlias(name="current"), caller=here.bob, collections=here.collections)
        assert (await refused(theirs))[0] is NotFound
        taken = set_alias(SetAlias(name="old", collection="new"), **ports)  # type: ignore[arg-type]
        assert (await refused(taken))[0] is Conflict
        route = set_alias(SetAlias(name="search", collection="new"), **ports)  # type: ignore[arg-type]
        assert (await refused(route))[0] is Invalid
        await delete_alias(DeleteAlias(name="current"), **ports)  # type: ignore[arg-type]
        assert (await refused(here.search("current", vector=[1, 0])))[0] is NotFound
        assert ids(await here.search("new", vector=[1, 0])) == ["new", "more"]

    play(settings, scenario)


# --- upserts -------------------------------------------------------------------------------------------------------


def test_vectors_are_written_read_and_deleted(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        metadata = {"lang": "en", "n": 1, "x": 0.5, "open": True, "tags": ["a", 1]}
        written = await here.upsert({"id": "a/b?", "vector": [3, 4], "text": "three", "metadata": metadata})
        assert written == Upserted(upserted=1, changed=1, collection="papers", seq=1)
        again = await here.upsert({"id": "a/b?", "vector": [3, 4], "text": "three", "metadata": metadata})
        assert again == Upserted(upserted=1, changed=0, collection="papers", seq=1)
        asked = GetVector(collection="papers", vector_id="a/b?")
        found = await get_vector(asked, caller=here.ada, vectors=here.vectors)
        assert found.vector == pytest.approx([0.6, 0.8]) and (found.text, found.metadata) == ("three", metadata)
        assert (await refused(get_vector(asked, caller=here.bob, vectors=here.vectors)))[0] is NotFound
        gone = DeleteVector(collection="papers", vector_id="a/b?")
        assert (await refused(delete_vector(gone, caller=here.bob, vectors=here.vectors)))[0] is NotFound
        assert (await delete_vector(gone, caller=here.ada, vectors=here.vectors)).seq == 2
        assert (await refused(delete_vector(gone, caller=here.ada, vectors=here.vectors)))[0] is NotFound
        here.service.stays_behind = True
        assert ids(await here.search(vector=[3, 4])) == []

    play(settings, scenario)


def test_a_collection_holds_vectors_of_one_model(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        vector = [1.0] * HASH.dimension
        await here.create("hashed", model="hash")
        assert (await here.write_texts(to="hashed")).upserted == len(TEXTS)
        for model in (None, "another-1"):
            more: dict[str, Any] = {} if model is None else {"model": model}
            refusal = await refused(here.upsert({"id": "a", "vector": vector}, to="hashed", **more))
            assert refusal[0] is Conflict, refusal
        for model in ("hash", HASH.id):
            assert (await here.upsert({"id": model, "vector": vector}, to="hashed", model=model)).changed == 1
        await here.create("own", dimension=2)
        await here.upsert({"id": "a", "vector": [1, 0]}, to="own")
        assert (await refused(here.upsert({"id": "b", "text": "words"}, to="own")))[0] is Conflict
        assert (await refused(here.upsert({"id": "b", "vector": [1, 0]}, to="own", model="hash")))[0] is Conflict
        await here.create("elsewhere", dimension=2, model="theirs-3")
        assert (await here.upsert({"id": "a", "vector": [1, 0]}, to="elsewhere", model="theirs-3")).changed == 1
        assert (await refused(here.upsert({"id": "b", "text": "words"}, to="elsewhere")))[0] is Conflict
        assert (await refused(here.search("elsewhere", query="words")))[0] is Conflict

    play(settings, scenario)


def test_the_first_texts_pin_the_model_of_a_collection_without_one(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=HASH.dimension)
        assert (await here.search(query="anything")).results == []
        await here.write_texts()
        asked = GetCollection(name="papers")
        assert (await get_collection(asked, caller=here.ada, collections=here.collections)).model == HASH.id
        assert ids(await here.search(query="lock of a process", top_k=1)) == ["lock"]
        assert (await refused(here.upsert({"id": "a", "vector": [1.0] * HASH.dimension})))[0] is Conflict
        await here.create("small", dimension=2)
        assert (await refused(here.write_texts(to="small")))[0] is Conflict
        await here.upsert({"id": "a", "vector": [1, 0]}, to="small", model="theirs-3")
        asked = GetCollection(name="small")
        assert (await get_collection(asked, caller=here.ada, collections=here.collections)).model == "theirs-3"
        small = await here.collections.find(here.ada.user_id, "small")
        assert (await refused(here.collections.pin(small, "other")))[0] is Conflict

    play(settings, scenario)


@pytest.mark.parametrize(
    "vector",
    [
        {"id": "a"},
        {"id": "", "vector": [1, 0]},
        {"id": "a\n", "vector": [1, 0]},
        {"id": "..", "vector": [1, 0]},
        {"id": 1, "vector": [1, 0]},
        {"id": "a", "vector": []},
        {"id": "a", "vector": [1]},
        {"id": "a", "vector": [1, 0, 0]},
        {"id": "a", "vector": [0, 0]},
        {"id": "a", "vector": [1e39, 0]},
        {"id": "a", "vector": ["1", 0]},
        {"id": "a", "vector": [None, 0]},
        {"id": "a", "vector": [1, 0], "text": ""},
        {"id": "a", "vector": [1, 0], "text": "x" * 40_000},
        {"id": "a", "vector": [1, 0], "unknown": 1},
        {"id": "a", "vector": [1, 0], "metadata": {"and": 1}},
        {"id": "a", "vector": [1, 0], "metadata": {"date_range": 1}},
        {"id": "a", "vector": [1, 0], "metadata": {"": 1}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": None}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": {"m": 1}}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": [[1]]}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": 2**53 + 1}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": [1, -(2**53) - 1]}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": 1e30}},
        {"id": "a", "vector": [1, 0], "metadata": {"n": ["x" * 8000] * 3}},
    ],
    ids=lambda one: repr(one)[:60],
)
def test_what_cannot_be_kept_is_refused_with_all_that_comes_with_it(settings: Settings, vector: Any) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        assert (await refused(here.upsert({"id": "good", "vector": [1, 0]}, vector)))[0] is Invalid
        (collection,) = await here.listed()
        assert (collection.vectors, collection.seq) == (0, 0)

    play(settings, scenario)


def test_an_upsert_is_of_a_thousand_vectors_at_most_each_once(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=1, metric="dot")
        many = [{"id": str(n), "vector": [n]} for n in range(1001)]
        assert (await refused(here.upsert(*many)))[0] is Invalid
        assert await refused(here.upsert(*many[:2], many[0])) == (Invalid, "a vector is given twice")
        assert (await here.upsert(*many[:1000])).seq == 1000

    play(settings, scenario)


def test_a_write_leaves_its_act_and_its_event(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.upsert({"id": "a", "vector": [1, 0]})
        await delete_vector(DeleteVector(collection="papers", vector_id="a"), caller=here.ada, vectors=here.vectors)
        await refused(here.create(dimension=2))
        acts = await here.database.fetch(
            "SELECT action, outcome FROM audit_log WHERE action LIKE 'vectors.%' ORDER BY id"
        )
        assert [tuple(row) for row in acts] == [
            ("vectors.create_collection", "done"),
            ("vectors.upsert", "done"),
            ("vectors.delete", "done"),
            ("vectors.create_collection", "refused"),
        ]
        events = await here.database.fetch("SELECT type FROM events WHERE type LIKE 'vectors.%' ORDER BY position")
        assert [row["type"] for row in events] == ["vectors.upserted.v1", "vectors.deleted.v1"]

    play(settings, scenario)


# --- searches ------------------------------------------------------------------------------------------------------


def test_the_most_similar_come_first(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        for metric, scores in {"cosine": [1.0, 5**-0.5], "dot": [4.0, 4.0], "l2": [1.0, 5**0.5]}.items():
            await here.create(metric, dimension=2, metric=metric)
            await here.upsert({"id": "far", "vector": [2, 1]}, {"id": "near", "vector": [0, 2]}, to=metric)
            found = await here.search(metric, vector=[0, 2])
            wanted = {"cosine": scores, "dot": [4.0, 2.0], "l2": [1.0, 1 / (1 + 5**0.5)]}[metric]
            assert ids(found) == ["near", "far"]
            assert [result.score for result in found.results] == pytest.approx(wanted)
            assert (found.total_results, found.exact, found.hybrid, found.degraded) == (2, True, False, False)
            assert (found.backend, found.lag_seq, found.query_embedding_time) == ("faiss", 0, 0.0)

    play(settings, scenario)


def test_a_text_is_found_by_meaning_and_by_its_words(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(model="hash")
        await here.write_texts()
        found = await here.search(query="which process takes a lock", top_k=2)
        assert (ids(found)[0], found.hybrid, len(found.results)) == ("lock", True, 2)
        assert found.results[0].text == TEXTS["lock"] and found.query_embedding_time == 1.5
        scores = [result.score for result in found.results]
        assert scores[0] == 1.0 and scores == sorted(scores, reverse=True)
        dense = await here.search(query="which process takes a lock", hybrid=False)
        assert not dense.hybrid and len(dense.results) == len(TEXTS) and dense.results[0].score < 1
        cut = await here.search(query="which process takes a lock", threshold=dense.results[0].score - 1e-6)
        assert (ids(cut), cut.hybrid, cut.total_results) == (["lock"], False, 1)
        assert (await here.search(query="which process takes a lock", threshold=0.99, hybrid=True)).results[
            0
        ].score == 1

    play(settings, scenario)


def test_words_decide_where_vectors_are_brought_with_texts(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.upsert(
            {"id": "a", "vector": [1, 0], "text": "zebras graze"},
            {"id": "b", "vector": [0, 1], "text": "rivers flow"},
        )
        assert ids(await here.search(vector=[1, 0.9], query="river", top_k=1)) == ["b"]
        assert ids(await here.search(vector=[1, 0.9], query="zebra", top_k=1)) == ["a"]
        assert (await refused(here.search(query="zebra")))[0] is Conflict

    play(settings, scenario)


def test_filters_hold_for_meaning_and_for_words(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(model="hash")
        new = [{"id": f"{n}", "text": f"tasks wait {n}", "metadata": {"n": n, "odd": n % 2 == 1}} for n in range(20)]
        await here.upsert(*new)
        wanted: list[tuple[Any, set[int]]] = [
            ({"odd": True}, set(range(1, 20, 2))),
            ({"n": [3, 4], "odd": True}, {3}),
            ({"range": {"n": {"gte": 18}}}, {18, 19}),
            ({"or": [{"n": 1}, {"not": {"n": {"lt": 19}}}]}, {1, 19}),
            ({"in": {"n": [5]}}, {5}),
            ({"date_range": {"start": "2020-01-01", "end": "2120-01-01"}, "n": 7}, {7}),
            ({"date_range": {"end": "2020-01-01"}}, set()),
            ({"n": "3"}, set()),
        ]
        for filters, passing in wanted:
            for hybrid in (True, False):
                found = await here.search(query="waiting tasks", filters=filters, hybrid=hybrid, top_k=20)
                assert {int(one) for one in ids(found)} == passing, (filters, hybrid)
        assert ids(await here.search(query="waiting tasks", contains="wait 13")) == ["13"]
        wrongs: list[Any] = [{"and": 1}, {"n": {"above": 1}}, {"not": []}, {"n": None}]
        for wrong in wrongs:
            assert (await refused(here.search(query="tasks", filters=wrong)))[0] is Invalid

    play(settings, scenario)


@pytest.mark.parametrize(
    "asked, error",
    [
        ({}, Invalid),
        ({"query": ""}, Invalid),
        ({"vector": [1]}, Invalid),
        ({"vector": [0, 0]}, Invalid),
        ({"vector": [1e39, 1]}, Invalid),
        ({"vector": [1, 0], "top_k": 0}, Invalid),
        ({"vector": [1, 0], "top_k": 1001}, Invalid),
        ({"vector": [1, 0], "hybrid": True}, Invalid),
        ({"vector": [1, 0], "min_seq": 6}, Invalid),
        ({"vector": [1, 0], "min_seq": -1}, Invalid),
        ({"vector": [1, 0], "backend": "postgres"}, Invalid),
        ({"vector": [1, 0], "backend": "chroma"}, Conflict),
        ({"vector": [1, 0], "collection": "nowhere"}, NotFound),
    ],
    ids=repr,
)
def test_what_cannot_be_searched_for_is_refused(
    settings: Settings, asked: dict[str, Any], error: type[SutazaiError]
) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        assert (await refused(here.search(str(asked.get("collection", "papers")), **_without(asked))))[0] is error

    play(settings, scenario)


def _without(asked: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if key != "collection"}


def test_the_service_is_asked_for_what_was_wanted(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        seq = (await here.write_points()).seq
        found = await here.search(vector=[1, 0], backend="qdrant", min_seq=seq, top_k=3)
        (query,) = here.service.asked
        assert (query.backend, query.min_seq, query.top_k, found.backend) == ("qdrant", seq, 3, "qdrant")
        assert query.vector is not None and np.linalg.norm(query.vector) == pytest.approx(1)

    play(settings, scenario)


# --- what is kept, and what happens without engines ------------------------------------------------------------------


def test_vectors_that_were_read_for_one_collection_are_not_written_to_another_of_its_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2, metric="l2")
        find = here.collections.find

        async def overtaken(user_id: UUID, name: str) -> Kept:
            found = await find(user_id, name)
            await here.collections.delete(user_id, name)
            await here.create(dimension=2, metric="cosine")
            return found

        with monkeypatch.context() as patched:
            patched.setattr(here.collections, "find", overtaken)
            assert (await refused(here.upsert({"id": "a", "vector": [3, 4]})))[0] is NotFound
        assert (await here.collections.find(here.ada.user_id, "papers")).seq == 0

    play(settings, scenario)


def test_an_answer_is_kept_until_the_collection_changes(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        first = await here.search(vector=[1, 0])
        again = await here.search(vector=[1, 0])
        assert not first.cached and again.cached and again.results == first.results
        assert (await here.search(vector=[1, 0], filters={"n": 1})).total_results == 1
        assert (await here.search(vector=[1, 0], filters={"n": True})).total_results == 0
        await here.upsert({"id": "9", "vector": [9, 0]})
        changed = await here.search(vector=[1, 0])
        assert not changed.cached and ids(changed)[0] == "9"
        await delete_collection(DeleteCollection(name="papers"), caller=here.ada, collections=here.collections)
        await here.create(dimension=2)
        await here.upsert(*({"id": f"new{n}", "vector": [n, 1]} for n in range(6)))
        assert all(one.startswith("new") for one in ids(await here.search(vector=[1, 0])))

    play(settings, scenario)


def test_another_process_finds_the_answer_in_redis_and_lives_without_it(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        first = await here.search(vector=[1, 0])
        async with Ports(settings) as ports:
            here.answers = await ports.open(VectorAnswers)
            # It connects in the background, and what it cannot answer at once is a miss.
            while not (again := await here.search(vector=[1, 0])).cached:
                await asyncio.sleep(0.02)
                here.answers._near.clear()  # type: ignore[attr-defined]
                await here.search(vector=[1, 0], top_k=5)
            assert again.results == first.results

    play(settings, scenario)


def test_answers_that_are_not_whole_are_not_kept(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        here.service.stays_behind = True
        behind = await here.search(vector=[1, 0])
        assert (behind.results, behind.lag_seq, behind.cached) == ([], 5, False)
        here.service.stays_behind, here.service.fails_over = False, True
        degraded = await here.search(vector=[1, 0])
        assert (degraded.degraded, degraded.cached, degraded.total_results) == (True, False, 5)
        here.service.fails_over = False
        whole = await here.search(vector=[1, 0])
        assert (whole.degraded, whole.cached, whole.results) == (False, False, degraded.results)
        assert (await here.search(vector=[1, 0])).cached

    play(settings, scenario)


def test_those_who_ask_the_same_at_once_ask_once(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        found = await asyncio.gather(*(here.search(vector=[1, 0]) for _ in range(20)))
        assert len({answer.model_dump_json(include={"results"}) for answer in found}) == 1
        assert len(here.service.asked) == 1

    play(settings, scenario)


def test_what_is_gone_since_makes_room_for_those_that_follow(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        best = ids(await here.search(vector=[1, 0]))
        here.service.stays_behind = True
        await here.vectors.delete(here.ada.user_id, "papers", best[:2])
        assert ids(await here.search(vector=[1, 0], top_k=2)) == best[2:4]
        assert ids(await here.search(vector=[1, 0], top_k=5)) == best[2:]
        asked = len(here.service.asked)
        assert ids(await here.search(vector=[1, 0], top_k=2, threshold=0.9999)) == []
        assert len(here.service.asked) == asked + 1

    play(settings, scenario)


def test_a_service_that_cannot_be_asked_again_has_answered_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        best = ids(await here.search(vector=[1, 0]))
        here.service.stays_behind = True
        await here.vectors.delete(here.ada.user_id, "papers", best[:1])
        search = here.service.search

        async def once(query: Query) -> Found:
            found = await search(query)
            here.service.is_busy = True
            return found

        monkeypatch.setattr(here.service, "search", once)
        assert ids(await here.search(vector=[1, 0], top_k=2)) == best[1:2]

    play(settings, scenario)


def test_without_the_service_the_record_answers(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2, metric="l2")
        await here.write_points()
        whole = await here.search(vector=[1, 0], filters={"n": {"lt": 4}})
        here.service.is_down = True
        # A version of its own, for which nothing is kept.
        await here.upsert({"id": "0", "vector": [0, 1], "metadata": {"n": 0, "new": True}})
        for _ in range(2):
            found = await here.search(vector=[1, 0], filters={"n": {"lt": 4}})
            assert ids(found) == ids(whole)
            assert [one.score for one in found.results] == pytest.approx([one.score for one in whole.results])
            assert (found.backend, found.exact, found.degraded, found.cached) == ("postgres", True, True, False)
        monkeypatch.setattr(searching, "SCAN_MOST", 4)
        assert (await refused(here.search(vector=[1, 0])))[0] is Unavailable

    play(settings, scenario)


def test_without_engines_texts_are_found_by_the_record_and_without_a_model_by_words(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(model="hash")
        await here.write_texts()
        whole = await here.search(query="which process takes a lock")
        here.service.has_no_engine = True
        await here.upsert({"id": "wake", "text": TEXTS["wake"], "metadata": {"a": 1}})
        found = await here.search(query="which process takes a lock")
        assert (ids(found), found.backend, found.exact) == (ids(whole), "postgres", True)
        assert (found.degraded, found.hybrid, found.cached) == (True, True, False)
        here.service.is_down = True
        words = await here.search(query="which process takes a lock")
        assert (ids(words), words.backend, words.exact, words.degraded) == (["lock"], "postgres", False, True)
        assert (await refused(here.search(query="which process", hybrid=False)))[0] is Unavailable

    play(settings, scenario)


def test_a_service_that_is_busy_is_spared_and_words_alone_answer(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(model="hash")
        await here.write_texts()
        here.service.is_busy = True
        words = await here.search(query="which process takes a lock")
        assert (ids(words), words.backend, words.exact) == (["lock"], "postgres", False)
        assert (words.degraded, words.hybrid, words.cached) == (True, True, False)
        said = "too many queries are waiting"
        assert await refused(here.search(query="which process", hybrid=False)) == (Busy, said)
        here.service.is_busy = False
        assert not (await here.search(query="which process takes a lock")).degraded

    play(settings, scenario)


def test_searches_that_would_wait_too_long_are_sent_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.write_points()
        monkeypatch.setattr(backlog, "LEAST", 2)
        monkeypatch.setattr(backlog, "REMEMBERED", 1)
        monkeypatch.setattr(vector_answers, "WAIT_S", 0.0)
        here.answers = RedisVectorAnswers(cache=Cache(settings=settings), codec=Codec())
        here.service.turns = asyncio.Semaphore(0)
        first = [asyncio.create_task(here.search(vector=[1, n])) for n in range(4)]
        while len(here.service.asked) < len(first):
            await asyncio.sleep(0.01)
        here.service.turns.release()
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        assert await refused(here.search(vector=[1, 4])) == (Busy, "too many searches are waiting")
        # What is asked for already makes nobody wait.
        same = asyncio.create_task(here.search(vector=[1, 3]))
        for _ in range(10):
            here.service.turns.release()
        assert [(await each).total_results for each in (*first, same)] == [5] * 5
        assert (await here.search(vector=[1, 4])).total_results == 5

    play(settings, scenario)


# --- embedding, and what operators see -------------------------------------------------------------------------------


def test_texts_are_embedded_in_their_order(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(model="hash")
        found = await here.embed("one", "two", "one", collection="papers")
        assert (found.collection, found.model, len(found.embeddings)) == ("papers", HASH.id, 3)
        first, second, third = found.embeddings
        assert first == third and first.id != second.id and first.dimension == len(first.vector) == HASH.dimension
        assert np.linalg.norm(first.vector) == pytest.approx(1)
        alone = await here.embed("two", model="hash")
        assert (alone.embeddings, alone.collection) == ([second], None)
        assert (await refused(here.embed("one", model="nothing")))[0] is NotFound
        assert (await refused(here.embed("one", model="nothing", collection="papers")))[0] is Conflict
        assert (await refused(here.embed("one", collection="nowhere")))[0] is NotFound
        assert (await refused(here.embed()))[0] is Invalid
        assert (await refused(here.embed("")))[0] is Invalid
        assert (await refused(here.embed(*["x"] * 257)))[0] is Invalid
        await here.create("own", dimension=2)
        await here.upsert({"id": "a", "vector": [1, 0]}, to="own")
        assert (await refused(here.embed("one", collection="own")))[0] is Conflict

    play(settings, scenario)


def test_operators_see_how_far_engines_are_behind(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create(dimension=2)
        await here.create("quiet", dimension=2)
        await here.write_points()
        kept = await here.collections.find(here.ada.user_id, "papers")
        faiss, qdrant = (await list_engines(service=here.service, truth=here.truth)).engines
        assert (faiss.backend, faiss.status, faiss.drifted, faiss.repaired) == ("faiss", "ok", 1, 2)
        assert faiss.swept_at is not None and faiss.swept_at.timestamp() == 60
        assert (faiss.collections, faiss.behind, faiss.lag_seq, faiss.failing) == (2, 1, 5, 0)
        assert [(one.collection_id, one.lag_seq, one.error) for one in faiss.lagging] == [(kept.id, 5, None)]
        assert (qdrant.status, qdrant.lag_seq) == ("unknown", 5)
        here.service.is_down = True
        states = (await list_engines(service=here.service, truth=here.truth)).engines
        assert [(one.status, one.lag_seq) for one in states] == [("unknown", 5), ("unknown", 5)]

    play(settings, scenario)
