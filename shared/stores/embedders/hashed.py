"""Words and parts of words by their hashes: no weights, nothing to load, and the same on every machine. For tests."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Final, Self
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from shared.ports.embedders import Kind

# Changes with the recipe below: vectors of two recipes are not to meet.
MODEL_ID: Final = "hash-1"
DIMENSION: Final = 384
# What comes after is not looked at, as with models that have a window.
MOST_CHARACTERS: Final = 32_768
_PARTS: Final = (3, 4)
_WORD: Final = re.compile(r"\w+")
# A word weighs as much as some of its parts together, so that words decide and parts help with endings.
_WORD_WEIGHT, _PAIR_WEIGHT, _PART_WEIGHT = 1.0, 0.5, 0.25


class Hashed:
    """Signed feature hashing (Weinberger et al. 2009) of words, pairs of words and their parts; counts are damped."""

    model_id = MODEL_ID
    dimension = DIMENSION

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")

    @classmethod
    async def load(cls) -> Self:
        return cls()

    async def embed(self, texts: Sequence[str], *, kind: Kind = "passage") -> NDArray[np.float32]:
        """Queries and passages are the same. A text without words has the vector of no feature."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _embedded, texts)

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _embedded(texts: Sequence[str]) -> NDArray[np.float32]:
    vectors = np.zeros((len(texts), DIMENSION), np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        weights: dict[str, list[float]] = {}
        for feature, weight in _features(text):
            weights.setdefault(feature, [weight, 0])[1] += 1
        for feature, (weight, count) in (weights or {"": [1.0, 1.0]}).items():
            place, sign = _place(feature)
            vector[place] += sign * weight * np.sqrt(count)
        length = np.linalg.norm(vector)
        if length:
            vector /= length
        else:
            # Features of a text that happen to cancel each other out.
            vector[0] = 1
    return vectors


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(normalize("NFKC", text[:MOST_CHARACTERS]).casefold())
    for number, word in enumerate(words):
        yield word, _WORD_WEIGHT
        if number:
            yield f"{words[number - 1]} {word}", _PAIR_WEIGHT
        edged = f"<{word}>"
        for size in _PARTS:
            for start in range(len(edged) - size + 1):
                yield f"#{edged[start : start + size]}", _PART_WEIGHT


def _place(feature: str) -> tuple[int, int]:
    number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
    return (number >> 1) % DIMENSION, 1 if number & 1 else -1
