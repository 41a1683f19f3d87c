"""Texts ranked by their words, and filters as PostgreSQL decides them."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from shared.config import Settings
from shared.ports.vectors import Collections, Kept, NewVector, Vectors
from shared.stores.postgres import vector_texts
from shared.stores.postgres.database import Database
from shared.stores.postgres.vector_texts import K1, B
from shared.vectors.filters import CREATED_AT, And, Eq, Exists, Filter, In, Not, Or, Range, passes
from shared.vectors.hybrid import fused
from shared.vectors.words import LONGEST, words
from shared.wiring import Ports
from tests.graph.places import person

TEXTS = {
    "a": "The keeper wakes agents whose tasks are waiting.",
    "b": "Waits: a queue holds tasks, and the queue's tasks wait.",
    "c": "listHTTPHosts2 returns every host",
    "d": "向量搜索引擎",
    "e": "A long text about nothing in particular, about weather, about rivers, and about one task at its very end.",
    "f": "!?",
}


class Here:
    def __init__(self, ada: UUID, collections: Collections, vectors: Vectors, database: Database) -> None:
        self.ada, self.collections, self.vectors, self.database = ada, collections, vectors, database

    async def create(self, name: str = "papers") -> None:
        await self.collections.create(self.ada, name, dimension=1, metric="l2", model=None, backends=("faiss",))

    async def write(self, texts: Mapping[str, str | None], name: str = "papers", **more: Any) -> None:
        new = [NewVector(id=one, vector=np.ones(1, np.float32), text=text, **more) for one, text in texts.items()]
        await self.vectors.upsert(self.ada, name, new, model=None)

    async def kept(self, name: str = "papers") -> Kept:
        return await self.collections.find(self.ada, name)

    async def found(self, query: str, *, name: str = "papers", top_k: int = 10, **more: Any) -> list[str]:
        kept = await self.kept(name)
        ranked = await self.vectors.lexical(kept, query, top_k=top_k, **more)
        those = await self.vectors.those(kept, [number for number, _ in ranked])
        return [those[number].id for number, _ in ranked]

    async def frequencies(self) -> list[tuple[int, int]]:
        rows = await self.database.fetch("SELECT word, texts FROM vector_words WHERE texts <> 0 ORDER BY word")
        return [(row["word"], row["texts"]) for row in rows]


def play(settings: Settings, scenario: Callable[[Here], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), Ports(settings) as ports:
            database = await ports.open(Database)
            here = Here(await person(database), await ports.open(Collections), await ports.open(Vectors), database)
            await here.create()
            await scenario(here)

    asyncio.run(main())


def test_texts_are_found_by_stems_parts_of_names_and_pairs_of_characters(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.write(TEXTS)
        assert await here.found("waited task") == ["b", "a", "e"]
        assert await here.found("hosts") == await here.found("HTTP") == await here.found("listhttphosts2") == ["c"]
        assert await here.found("搜索") == ["d"]
        assert await here.found("the and of") == await here.found("?!") == await here.found("") == []
        assert await here.found("zebra") == []
        assert await here.found("waited task", top_k=1) == ["b"]
        assert (await here.kept()).texts == len(TEXTS)

    play(settings, scenario)


def test_scores_are_those_of_bm25(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        texts = {str(n): " ".join(["red"] * (n % 3) + ["green"] * (n % 5) + ["blue"] * n) for n in range(1, 40)}
        await here.write(texts)
        held = {int(one) - 1: Counter(text.split()) for one, text in texts.items()}
        average = sum(each.total() for each in held.values()) / len(held)
        wanted = {}
        for number, each in held.items():
            score = 0.0
            for word in ("red", "green"):
                of = sum(word in other for other in held.values())
                norm = K1 * (1 - B + B * each.total() / average)
                score += math.log(1 + (len(held) - of + 0.5) / (of + 0.5)) * each[word] * (K1 + 1) / (each[word] + norm)
            wanted[number] = score
        expected = sorted((one for one in wanted.items() if one[1] > 0), key=lambda one: (-one[1], one[0]))
        found = await here.vectors.lexical(await here.kept(), "green reds", top_k=100)
        assert [number for number, _ in found] == [number for number, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected])

    play(settings, scenario)


def test_words_go_with_what_they_are_of(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.write(TEXTS)
        before = await here.frequencies()
        await here.write({"a": "an anchor", "z": "zebras zebra"})
        assert await here.found("zebra") == ["z"] and await here.found("keeper") == []
        await here.write({"z": None, "a": TEXTS["a"]})
        assert await here.found("zebra anchor") == [] and await here.frequencies() == before
        assert (await here.kept()).texts == len(TEXTS)
        await here.vectors.delete(here.ada, "papers", [*TEXTS, "nobody"])
        row = await here.database.fetchrow("SELECT texts, words FROM vector_collections")
        assert row is not None and (row["texts"], row["words"]) == (0, 0)
        assert await here.frequencies() == [] and await here.found("waited task") == []
        await here.write({"a": TEXTS["a"]})
        assert await here.found("keepers") == ["a"]
        await here.collections.delete(here.ada, "papers")
        assert await here.database.fetchval("SELECT count(*) FROM vector_texts") == 0

    play(settings, scenario)


def test_no_collection_is_ranked_with_anothers_texts(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        await here.create("others")
        await here.write(TEXTS)
        await here.write({"x": "a wait for zebras"}, name="others")
        assert await here.found("waiting zebra") == ["b", "a"]
        assert await here.found("waiting zebra", name="others") == ["x"]
        # Not even were their words the same numbers.
        twin = replace(await here.kept(), id=UUID(int=(await here.kept()).id.int ^ (1 << 100)))
        assert await here.vectors.lexical(twin, "wait", top_k=10) == []

    play(settings, scenario)


def test_a_common_word_counts_where_rare_ones_do_not_suffice(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        texts = {f"c{n}": f"common filler{n}" for n in range(1500)} | {"r": "rare thing", "b": "rare common"}
        await here.write(texts)
        assert await here.found("rare common", top_k=2) == ["b", "r"]
        found = await here.found("rare common", top_k=5)
        assert found[:2] == ["b", "r"] and len(found) == 5
        assert await here.found("rare common", filter=Not(Eq("x", 1)), top_k=2) == ["b", "r"]
        await here.write({"c7": "common filler7"}, metadata={"x": 1})
        assert await here.found("rare common", filter=Eq("x", 1), top_k=2) == ["c7"]
        assert await here.found("rare common", contains="ler9 ") == []
        assert await here.found("rare common", contains="filler999") == ["c999"]

    play(settings, scenario)


def test_a_filter_leaves_no_word_and_no_passing_text_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_texts, "ROUNDS", (5, 10, 20))

    async def scenario(here: Here) -> None:
        await here.write({f"g{n}": "a guide" for n in range(12)})
        await here.write({f"i{n}": "install it" for n in range(30)})
        last = {"last": "the last install", "next": "installed in passing, and then some more is said"}
        await here.write(last, metadata={"wanted": True})
        for query in ("install", "install guide"):
            assert await here.found(query, filter=Eq("wanted", True)) == ["last", "next"]
            assert await here.found(query, contains="last") == ["last"]

    play(settings, scenario)


def test_rare_words_stay_ahead_where_too_many_texts_pass(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_texts, "ROUNDS", (5, 10, 20))

    async def scenario(here: Here) -> None:
        await here.write({f"c{n}": "a common thing" for n in range(40)})
        await here.write({"r": "a rare thing"})
        found = await here.found("rare thing", filter=Not(Eq("x", 1)), top_k=30)
        assert (found[0], len(found), len(set(found))) == ("r", 21, 21)
        assert await here.found("rare thing", filter=Not(Eq("x", 1)), top_k=1) == ["r"]

    play(settings, scenario)


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.sampled_from([0, 1, -1, 1.0, 0.5, 1e-7, 1e300, 2.0**53]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
    st.sampled_from(["1", "true", "", 'a"b', "$x", "\\"]),
)
KEYS = st.sampled_from(["a", "b", 'q"', "$[*]", "é"])
METADATA = st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3), max_size=3)
BOUNDS = st.none() | st.sampled_from([-1, 0, 0.5, 1, 2**53, 1e299])
AGES = st.sampled_from([0.0, 1.5, 1e9])
LEAVES: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Eq, KEYS, SCALARS),
    st.builds(In, KEYS, st.lists(SCALARS, max_size=3).map(tuple)),
    st.builds(Range, KEYS, gt=BOUNDS, gte=BOUNDS, lt=BOUNDS, lte=BOUNDS),
    st.builds(Exists, KEYS | st.just(CREATED_AT)),
    st.builds(Range, st.just(CREATED_AT), gt=AGES, lte=AGES),
    st.builds(Eq, st.just(CREATED_AT), AGES | SCALARS),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


def test_postgresql_decides_filters_as_we_do(settings: Settings) -> None:
    async def scenario(here: Here) -> None:
        loop = asyncio.get_running_loop()
        kept = await here.kept()
        query = np.ones(1, np.float32)

        async def agrees(held: list[dict[str, Any]], filters: list[Filter]) -> None:
            await here.vectors.delete(here.ada, "papers", [str(n) for n in range(4)])
            for n, metadata in enumerate(held):
                await here.write({str(n): None}, metadata=metadata)
            stored = [await here.vectors.get(here.ada, "papers", str(n)) for n in range(len(held))]
            for wanted in filters:
                found = await here.vectors.scan(kept, query, top_k=10, filter=wanted, most=10)
                expected = {
                    one.number
                    for metadata, one in zip(held, stored, strict=True)
                    if passes(wanted, metadata, one.created_at.timestamp())
                }
                assert found is not None and {number for number, _ in found} == expected, wanted

        @examples(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(METADATA, min_size=1, max_size=4), st.lists(FILTERS, min_size=4, max_size=8))
        def held_to(held: list[dict[str, Any]], filters: list[Filter]) -> None:
            asyncio.run_coroutine_threadsafe(agrees(held, filters), loop).result(60)

        await asyncio.to_thread(held_to)

    play(settings, scenario)


@given(st.text())
def test_any_text_has_words_of_bounded_length(text: str) -> None:
    assert all(0 < len(word) <= LONGEST and "\0" not in word for word in words(text))


@pytest.mark.parametrize(
    "text, found",
    [
        ("listHTTPHosts2", ["listhttphosts2", "list", "http", "hosts", "2"]),
        ("max_keys, S3:PutObject", ["max", "keys", "s3", "s", "3", "putobject", "put", "object"]),
        ("Übergröße ÉTÉ", ["übergrösse", "été"]),
        ("向量搜索 x", ["向量", "量搜", "搜索", "x"]),
        ("GPT用の", ["gpt", "用の"]),
        ("", []),
    ],
)
def test_names_are_found_whole_and_by_their_parts(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_a_fusion_holds_all_of_both_rankings_and_keeps_what_they_agree_on(dense: list[int], lexical: list[int]) -> None:
    found = dict(fused(dense, lexical))
    assert found.keys() == {*dense, *lexical} and all(0 < score <= 1 for score in found.values())
    assert list(found.values()) == sorted(found.values(), reverse=True)
    both = [number for number in found if number in dense and number in lexical]
    for one in both:
        for other in both:
            if dense.index(one) < dense.index(other) and lexical.index(one) < lexical.index(other):
                assert found[one] > found[other]


def test_a_fusion_weighs_its_halves_alike() -> None:
    assert fused([1, 2], [2, 3]) == [(2, pytest.approx(0.5 + 61 / 124)), (1, 0.5), (3, pytest.approx(61 / 124))]
    assert fused([7], [7]) == [(7, 1.0)]
