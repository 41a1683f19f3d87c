"""Embedders that we made: their vectors lie in collections, so what they say changes with their id alone."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from shared.stores.embedders.hashed import Hashed
from shared.stores.embedders.static import Static
from shared.stores.embedders.tiers import Opened

TEXTS = ["Deletes an object from a bucket.", "", "löscht 删除 🪣"]


async def _said(model: Opened) -> NDArray[np.float32]:
    try:
        return await model.embed(TEXTS)
    finally:
        await model.close()


def test_static_1_says_what_it_always_said() -> None:
    async def main() -> NDArray[np.float32]:
        return await _said(await Static.load())

    vectors = asyncio.run(main())
    assert Static.model_id == "static-1"
    wanted = [
        [0.0027678213, 0.0069258530, -0.0164785311, -0.0176053494],
        [-0.0495530963, 0.0132995173, 0.0126819573, 0.0516514108],
        [-0.0076629273, 0.0255157128, 0.0497432463, 0.0195073654],
    ]
    np.testing.assert_allclose(vectors[:, :4], wanted, atol=1e-5)


def test_hash_1_says_what_it_always_said() -> None:
    async def main() -> NDArray[np.float32]:
        return await _said(await Hashed.load())

    vectors = asyncio.run(main())
    assert Hashed.model_id == "hash-1"
    assert [np.flatnonzero(np.abs(row) > 0.2).tolist() for row in vectors] == [[31, 32, 228], [114], [11, 189, 229]]


def test_a_common_word_says_less_of_a_text_than_a_rare_one() -> None:
    async def main() -> NDArray[np.float32]:
        model = await Static.load()
        try:
            return await model.embed(["the bucket", "bucket", "the"])
        finally:
            await model.close()

    vectors = asyncio.run(main())
    assert vectors[0] @ vectors[1] > 0.95 > 0.5 > vectors[0] @ vectors[2]
