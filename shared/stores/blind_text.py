"""Keyed hashes by which sealed text is found: they tell what is equal, and nothing else."""

from hashlib import blake2b
from typing import Final

from shared.crypto import keyed_hash

GRAM: Final = 3
# More of a long query would narrow the search no further.
_MOST_ASKED: Final = 8


class BlindText:
    """The hashes of one purpose, by a key of 32 bytes."""

    def __init__(self, key: bytes, purpose: str) -> None:
        self._key = keyed_hash(key, purpose)

    def exact(self, text: str) -> bytes:
        return keyed_hash(self._key, "exact", text.encode())

    def grams(self, *texts: str) -> list[int]:
        """Of each three characters in a row, case aside: four bytes, so another text may share some by chance."""
        parts = {text[at : at + GRAM] for text in map(str.lower, texts) for at in range(len(text) - GRAM + 1)}
        return [self._gram(part) for part in parts]

    def asked(self, query: str) -> list[int] | None:
        """What every text that holds `query` has among its grams; None where it is too short to tell."""
        folded = query.lower()
        parts = sorted({folded[at : at + GRAM] for at in range(len(folded) - GRAM + 1)})
        return [self._gram(part) for part in parts[:: len(parts) // _MOST_ASKED or 1]] or None

    def _gram(self, part: str) -> int:
        return int.from_bytes(blake2b(part.encode(), key=self._key, digest_size=4).digest(), "big", signed=True)
