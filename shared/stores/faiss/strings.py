"""Many strings as one: an object for each of a hundred thousand would weigh more than they do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Below one in so many, those that pass are looked at one by one.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Strings:
    """`starts` has one more than there are strings: where each begins in `whole`, and where the last one ends."""

    whole: bytes
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        return cls.joined([text.encode("utf-8", "surrogatepass") for text in texts])

    @classmethod
    def joined(cls, each: Sequence[bytes]) -> Self:
        starts = np.zeros(len(each) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, each), np.int64, len(each)), out=starts[1:])
        return cls(b"".join(each), starts)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, row: int) -> str:
        return self.whole[self.starts[row] : self.starts[row + 1]].decode("utf-8", "surrogatepass")

    @property
    def size_bytes(self) -> int:
        return len(self.whole) + self.starts.nbytes

    def each(self) -> list[bytes]:
        return [self.whole[start:end] for start, end in pairwise(self.starts.tolist())]

    def containing(self, part: str, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of those that `among` marks have it in them."""
        found = np.zeros(len(self), np.bool_)
        needle = part.encode("utf-8", "surrogatepass")
        if not needle:
            return among.copy()
        rows = np.flatnonzero(among)
        if len(rows) * _FEW < len(self):
            for row in rows.tolist():
                found[row] = self.whole.find(needle, self.starts[row], self.starts[row + 1]) >= 0
            return found
        starts = self.starts
        at = self.whole.find(needle)
        while at >= 0:
            row = int(np.searchsorted(starts, at, side="right")) - 1
            end = int(starts[row + 1])
            if at + len(needle) <= end:
                found[row] = True
                at = self.whole.find(needle, end)
            else:
                # It runs over into the next one, and so is in neither; another may begin before that one does.
                at = self.whole.find(needle, at + 1)
        found &= among
        return found
