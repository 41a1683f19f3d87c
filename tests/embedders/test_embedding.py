"""All models together, and what they remember."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from shared.config import Settings
from shared.errors import ConfigurationError, Invalid, NotFound, Unavailable
from shared.ports.embedders import Kind
from shared.ports.vector_service import Model
from shared.stores.embedders import package
from shared.stores.embedders.tiers import Opened, Tier
from shared.stores.redis import Cache
from shared.vectors import recall
from shared.vectors.embedding import Embedding
from tests.embedders.recalled import Counted, Recalled, slow
from tests.internet import gate


def settings_of(folder: Path, redis_url: str = "", **said: str) -> Settings:
    return Settings.read({"SUTAZAI_HOME": str(folder), "SUTAZAI_REDIS_URL": redis_url, **said})


def embedding(folder: Path, scenario: Callable[[Embedding], Awaitable[None]], **said: str) -> None:
    settings = settings_of(folder, **said)

    async def main() -> None:
        async with (
            asyncio.timeout(60),
            Cache(settings=settings) as cache,
            Embedding(settings=settings, cache=cache, egress=gate()) as here,
        ):
            await scenario(here)

    asyncio.run(main())


def remembering(
    redis_url: str, folder: Path, scenario: Callable[[Cache], Awaitable[None]], *, connected: bool = True
) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), Cache(settings=settings_of(folder, redis_url)) as cache:
            assert await cache.ping() == connected
            await scenario(cache)

    asyncio.run(main())


def test_the_models_are_those_that_are_here_the_default_one_first(tmp_path: Path) -> None:
    async def scenario(here: Embedding) -> None:
        assert here.models() == [
            Model(name="minilm-int8", id="minilm-int8", dimension=384),
            Model(name="static", id="static-1", dimension=384),
            Model(name="hash", id="hash-1", dimension=384),
        ]

    embedding(tmp_path, scenario)
    assert list(tmp_path.iterdir()) == []


def test_a_model_elsewhere_is_one_of_them_where_it_is_configured(tmp_path: Path) -> None:
    async def scenario(here: Embedding) -> None:
        assert Model(name="openai", id="openai:large:1024", dimension=1024) in here.models()

    said = {"URL": "https://models.example.org/v1", "MODEL": "large", "DIMENSION": "1024"}
    embedding(tmp_path, scenario, **{f"SUTAZAI_EMBEDDINGS_{name}": value for name, value in said.items()})


def test_the_default_model_says_what_the_one_of_its_name_does(tmp_path: Path) -> None:
    async def scenario(here: Embedding) -> None:
        unnamed, named = await asyncio.gather(here.embed(["a", "b", "a"]), here.embed(["a"], model="minilm-int8"))
        assert unnamed.model == named.model == here.models()[0]
        assert unnamed.vectors.shape == (3, 384)
        np.testing.assert_array_equal(unnamed.vectors[[0, 2]], named.vectors[[0, 0]])

    embedding(tmp_path, scenario)


def test_a_model_is_found_by_its_id_as_by_its_name(tmp_path: Path) -> None:
    async def scenario(here: Embedding) -> None:
        for model in here.models():
            named, pinned = await here.embed(["a"], model=model.name), await here.embed(["a"], model=model.id)
            assert named.model == pinned.model == model
            np.testing.assert_array_equal(named.vectors, pinned.vectors)

    embedding(tmp_path, scenario)


def test_a_model_that_is_not_here_is_not_found(tmp_path: Path) -> None:
    async def scenario(here: Embedding) -> None:
        with pytest.raises(NotFound, match="no embedder 'openai'; here are minilm-int8, static, hash"):
            await here.embed(["a"], model="openai")

    embedding(tmp_path, scenario)


def test_half_of_a_pair_is_refused_and_named(tmp_path: Path) -> None:
    async def scenario(here: Embedding) -> None:
        with pytest.raises(Invalid, match="number 1"):
            await here.embed(["ä", "a\ud83d", "b"], model="hash")

    embedding(tmp_path, scenario)


def test_texts_of_several_callers_at_the_same_time_are_embedded_once(tmp_path: Path) -> None:
    model = Counted()

    async def scenario(cache: Cache) -> None:
        here = Recalled(slow(model), cache=cache)
        batches = [["a", "b"], ["b", "c"], ["c", "a", "b", "a"], ["d"]]
        found = await asyncio.gather(*map(here.embed, batches))
        right = await Counted().embed(["a", "b", "c", "d"])
        for batch, vectors in zip(batches, found, strict=True):
            np.testing.assert_array_equal(vectors, right[["abcd".index(text) for text in batch]])
        assert sorted(text for texts in model.said for text in texts) == ["a", "b", "c", "d"]
        await here.close()

    remembering("", tmp_path, scenario, connected=False)


def test_a_text_that_was_asked_for_before_is_remembered_and_queries_are_not_passages(tmp_path: Path) -> None:
    model = Counted()
    kinds: list[Kind] = ["passage", "query"]

    async def scenario(cache: Cache) -> None:
        here = Recalled(slow(model), cache=cache)
        for kind in kinds * 2:
            await here.embed(["a", "b"], kind=kind)
        assert model.said == [["a", "b"], ["a", "b"]]
        await here.close()

    remembering("", tmp_path, scenario, connected=False)


def test_the_oldest_are_forgotten_where_there_is_no_room(tmp_path: Path) -> None:
    model = Counted()

    async def scenario(cache: Cache) -> None:
        # Room for two.
        here = Recalled(slow(model), cache=cache, near_bytes=2 * (4 * 384 + 400))
        for text in ("a", "b", "a", "c", "a", "b"):
            await here.embed([text])
        assert model.said == [["a"], ["b"], ["c"], ["b"]]
        await here.close()

    remembering("", tmp_path, scenario, connected=False)


def test_what_one_process_knows_another_finds_in_redis(redis_url: str, tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    tier = slow(first)
    texts = [f"text {number}" for number in range(150)]

    async def scenario(cache: Cache) -> None:
        here = Recalled(tier, cache=cache)
        there = Recalled(slow(second, model_id=tier.model.id), cache=cache)
        said = await here.embed(texts)
        # It answers before it has told Redis.
        await asyncio.gather(*here._recall._tasks)
        np.testing.assert_array_equal(await there.embed([*texts, "new"]), [*said, *(await Counted().embed(["new"]))])
        assert second.said == [["new"]]
        await here.close()
        await there.close()

    remembering(redis_url, tmp_path, scenario)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0" * 4 * 384, b"\0" * 4 * 383, b"\xff" * 4 * 384, np.full(384, np.inf, "<f4").tobytes(), b"x" * 4 * 384],
)
def test_what_redis_cannot_have_been_told_is_not_believed(redis_url: str, tmp_path: Path, raw: bytes) -> None:
    model = Counted()

    async def scenario(cache: Cache) -> None:
        here = Recalled(slow(model), cache=cache)
        await cache.set(here._recall._key("passage", "a"), raw, ttl_ms=60_000)
        np.testing.assert_array_equal(await here.embed(["a"]), await Counted().embed(["a"]))
        assert model.said == [["a"]]
        await here.close()

    remembering(redis_url, tmp_path, scenario)


def test_without_redis_only_time_is_lost(tmp_path: Path) -> None:
    model = Counted()

    async def scenario(cache: Cache) -> None:
        here = Recalled(slow(model), cache=cache)
        np.testing.assert_array_equal(await here.embed(["a"]), await Counted().embed(["a"]))
        await here.close()

    # Nobody listens there.
    remembering("redis://127.0.0.1:9/0", tmp_path, scenario, connected=False)


def test_neither_the_text_nor_whose_it_is_can_be_read_in_redis(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        here = Recalled(slow(model_id="one"), cache=cache)
        key = here._recall._key("query", "a planted secret")
        assert key.startswith("CACHE:embeddings:one:query:") and "secret" not in key

    remembering("", tmp_path, scenario, connected=False)


def test_a_model_that_failed_is_asked_again(tmp_path: Path) -> None:
    model = Counted(fails=Unavailable("not now"))

    async def scenario(cache: Cache) -> None:
        here = Recalled(slow(model), cache=cache)
        both = await asyncio.gather(here.embed(["a"]), here.embed(["a", "b"]), return_exceptions=True)
        assert [type(each) for each in both] == [Unavailable, Unavailable]
        assert (await here.embed(["a"])).shape == (1, 384)
        await here.close()

    remembering("", tmp_path, scenario, connected=False)


def test_where_the_default_model_is_not_installed_no_lesser_one_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "_PACKAGE", "gt_no_such_model")

    async def scenario(here: Embedding) -> None:
        for model in (None, "minilm-int8", "static"):
            with pytest.raises(Unavailable, match="cannot be opened here"):
                await here.embed(["a"], model=model)
        assert here.models()[0].name == "minilm-int8"
        assert (await here.embed(["a"], model="hash")).model.id == "hash-1"

    embedding(tmp_path, scenario)


class Held(Counted):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def embed(self, texts, *, kind="passage"):  # type: ignore[no-untyped-def]
        self.asked.set()
        await self.told.wait()
        return await super().embed(texts, kind=kind)


def test_who_goes_away_leaves_his_text_to_the_others(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        model = Held()
        here = Recalled(slow(model), cache=cache)
        leaving = asyncio.create_task(here.embed(["a"]))
        staying = asyncio.create_task(here.embed(["a"]))
        await model.asked.wait()
        leaving.cancel()
        model.told.set()
        assert (await staying).shape == (1, 384) and len(model.said) == 1
        with pytest.raises(asyncio.CancelledError):
            await leaving
        await here.close()

    remembering("", tmp_path, scenario, connected=False)


def test_one_that_is_closed_waits_for_nobody(tmp_path: Path) -> None:
    async def scenario(cache: Cache) -> None:
        model = Held()
        here = Recalled(slow(model), cache=cache)
        asking = asyncio.create_task(here.embed(["a"]))
        await model.asked.wait()
        await here.close()
        assert model.is_closed
        with pytest.raises(Unavailable, match="is being closed"):
            await asking

    remembering("", tmp_path, scenario, connected=False)


def test_more_texts_than_may_wait_are_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "MOST_WAITING", 3)

    async def scenario(cache: Cache) -> None:
        model = Held()
        here = Recalled(slow(model), cache=cache)
        asking = asyncio.create_task(here.embed(["a", "b"]))
        await model.asked.wait()
        with pytest.raises(Unavailable, match="too many texts"):
            await here.embed(["c", "d"])
        model.told.set()
        await asking
        assert (await here.embed(["c", "d"])).shape == (2, 384)
        await here.close()

    remembering("", tmp_path, scenario, connected=False)


def test_a_model_that_cannot_be_opened_is_unavailable_and_tried_again(tmp_path: Path) -> None:
    tries = []

    async def opened() -> Opened:
        tries.append(1)
        if len(tries) == 1:
            raise ConfigurationError("its package is missing")
        return Counted()

    async def scenario(cache: Cache) -> None:
        here = Recalled(Tier(model=slow().model, open=opened), cache=cache)
        with pytest.raises(Unavailable, match="cannot be opened"):
            await here.embed(["a"])
        found = await asyncio.gather(*(here.embed([text]) for text in "abcd"))
        assert len(found) == 4 and len(tries) == 2
        await here.close()

    remembering("", tmp_path, scenario, connected=False)
