"""Hits in columns, as they are found and as they are sent: objects are made of those that somebody looks at."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Self, overload

from shared.ports.vector_engine import Hit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ranked(Sequence[Sequence[Hit]]):
    """For each query a row, best first; all rows are equally long."""

    __slots__ = ("numbers", "scores")

    def __init__(self, numbers: "NDArray[np.int64]", scores: "NDArray[np.float32]") -> None:
        self.numbers = numbers
        self.scores = scores

    def of(self, start: int, end: int, *, best: int) -> Self:
        """Of these queries so many each."""
        return type(self)(self.numbers[start:end, :best], self.scores[start:end, :best])

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> Sequence[Hit]: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Sequence[Hit]]: ...
    def __getitem__(self, at: int | slice) -> Sequence[Hit] | Sequence[Sequence[Hit]]:
        if isinstance(at, slice):
            return type(self)(self.numbers[at], self.scores[at])
        return list(map(Hit, self.numbers[at].tolist(), self.scores[at].tolist()))

    def __iter__(self) -> Iterator[Sequence[Hit]]:
        for numbers, scores in zip(self.numbers.tolist(), self.scores.tolist(), strict=True):
            yield list(map(Hit, numbers, scores))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))
