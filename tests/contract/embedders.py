"""What every embedder keeps. A module that runs this has a fixture `embedder`, and imports these tests with `*`."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.ports.embedders import Embedder, Kind

Opened = Callable[[], AbstractAsyncContextManager[Embedder]]
Matrix = NDArray[np.float32]

# What is in the same batch may change the last digits.
_NEAR = 5e-4

ODD = {
    "nothing": "",
    "a space": " ",
    "white space": "\t\n\r\u00a0\u2003\u3000",
    "control characters": "\x00\x01\x1b[31m\x7f\x85",
    "a byte order mark": "\ufeff",
    "a word": "bucket",
    "an emoji of several": "👩‍👩‍👧‍👦 🪣",
    "combining marks": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!",
    "from right to left": "حذف كائن من الحاوية ‮abc",
    "without spaces": "从存储桶中删除对象",
    "outside of the first plane": "𝔇𝔢𝔩𝔢𝔱𝔢 𐍈",
    "one long word": "a" * 100_000,
    "punctuation alone": "…!?—«»“”·",
    "a long text": "Deletes an object from a bucket and returns the version that it had. " * 3000,
    "what looks like a token": "[CLS] [SEP] [UNK] [MASK] <s> </s> <|endoftext|>",
    "JSON": '{"a": "\\u0000", "b": [null, 1e999]}',
}


def vectors_of(opened: Opened, *batches: Sequence[str], kind: Kind = "passage") -> list[Matrix]:
    """Of batches that are asked for at the same time."""

    async def main() -> list[Matrix]:
        async with asyncio.timeout(120), opened() as embedder:
            found = list(await asyncio.gather(*(embedder.embed(batch, kind=kind) for batch in batches)))
            for batch, vectors in zip(batches, found, strict=True):
                assert vectors.shape == (len(batch), embedder.dimension)
            return found

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["query", "passage"])
def test_each_text_has_a_row_of_length_1(embedder: Opened, kind: Kind) -> None:
    (vectors,) = vectors_of(embedder, ["a bucket", "an object in it", "the cat"], kind=kind)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_texts_have_no_rows(embedder: Opened) -> None:
    (vectors,) = vectors_of(embedder, [])
    assert vectors.dtype == np.float32


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_an_odd_text_has_a_vector_like_any_other(embedder: Opened, text: str) -> None:
    (vectors,) = vectors_of(embedder, [text, "a bucket"])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_opened_anew_it_says_the_same(embedder: Opened) -> None:
    texts = ["Deletes an object.", "", "löscht 删除 🪣"]
    (first,), (second,) = vectors_of(embedder, texts), vectors_of(embedder, texts)
    np.testing.assert_array_equal(first, second)


def test_a_text_has_the_same_vector_alone_and_among_others(embedder: Opened) -> None:
    texts = [text[:2000] for text in ODD.values()]
    (together,) = vectors_of(embedder, texts)
    alone = np.concatenate(vectors_of(embedder, *[[text] for text in texts]))
    np.testing.assert_allclose((together * alone).sum(axis=1), 1, atol=_NEAR)


def test_rows_are_in_the_order_of_the_texts(embedder: Opened) -> None:
    texts = [f"{word} {number}" for number in range(50) for word in ("bucket", "a longer text about the moon and", "x")]
    (forwards,), (backwards,) = vectors_of(embedder, texts), vectors_of(embedder, texts[::-1])
    np.testing.assert_allclose((forwards * backwards[::-1]).sum(axis=1), 1, atol=_NEAR)
    # Each is its own: its like is nearer than any other.
    assert ((forwards @ backwards[::-1].T).argmax(axis=1) == np.arange(len(texts))).all()


def test_batches_that_are_asked_for_at_once_get_their_own_rows(embedder: Opened) -> None:
    batches = [[f"the number {first} and {second}" for second in range(first + 1)] for first in range(12)]
    found = vectors_of(embedder, *batches)
    (whole,) = vectors_of(embedder, [text for batch in batches for text in batch])
    np.testing.assert_allclose((np.concatenate(found) * whole).sum(axis=1), 1, atol=_NEAR)


def test_the_same_text_twice_has_the_same_row_twice(embedder: Opened) -> None:
    (vectors,) = vectors_of(embedder, ["a bucket", "an object", "a bucket"])
    np.testing.assert_allclose(vectors[0] @ vectors[2], 1, atol=_NEAR)
    assert vectors[0] @ vectors[1] < 0.999


def test_a_text_that_shares_words_is_nearer_than_one_that_does_not(embedder: Opened) -> None:
    (vectors,) = vectors_of(embedder, ["delete an object from a bucket", "an object in a bucket", "cats sleep all day"])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.1
