"""What every format comes to: a row, or why there is none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Metadata, Scalar

# Others, such as `seq` and `created_at` of an export, are the record's own to give.
MEMBERS = frozenset({"id", "vector", "text", "metadata"})
OWN = frozenset({"seq", "created_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`number` counts lines or rows from 1; `end` is where the next one is read from."""

    number: int
    end: int
    id: str
    vector: NDArray[np.float32] | None = field(repr=False)
    text: str | None = field(default=None, repr=False)
    metadata: Metadata = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    number: int
    end: int
    why: str


class Unreadable(Exception):
    """The file as a whole is not what its name says, or cut off."""


class RowReader(Protocol):
    """`size`: what `end` comes to with the last row. `kept`: what the file says of the collection it is from."""

    size: int
    kept: Mapping[str, object]

    def rows(self, *, after: int = 0, number: int = 0) -> Iterator[Row | BadRow]:
        """Those from `after` on, which `number` others come before. Raises Unreadable."""

    def close(self) -> None: ...


class RowWriter(Protocol):
    """The file is there once this is left without an exception, and before that under another name."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None: ...

    def write(self, rows: Sequence[Row]) -> None: ...


def row_of(given: Mapping[str, object], *, number: int, end: int) -> Row | BadRow:
    """Checks what no server has to be asked about."""
    try:
        if unknown := given.keys() - MEMBERS - OWN:
            raise ValueError(f"{min(unknown)!r} is none of {', '.join(sorted(MEMBERS))}")
        text = given.get("text")
        if text is not None and not isinstance(text, str):
            raise ValueError("text is no string")
        vector = _vector(given.get("vector"))
        if vector is None and not text:
            raise ValueError("there is neither a vector nor a text")
        vector_id, metadata = _id(given.get("id")), _metadata(given.get("metadata"))
    except ValueError as exc:
        return BadRow(number=number, end=end, why=str(exc))
    return Row(number=number, end=end, id=vector_id, vector=vector, text=text, metadata=metadata)


def _id(given: object) -> str:
    if not isinstance(given, str) or not given:
        raise ValueError("id is no string, or empty")
    return given


def _vector(given: object) -> NDArray[np.float32] | None:
    if given is None:
        return None
    if isinstance(given, list) and not all(type(value) in (int, float) for value in given):
        raise ValueError("vector holds what is no number")
    if not isinstance(given, list | np.ndarray):
        raise ValueError("vector is no list of numbers")
    with np.errstate(over="ignore"):
        vector = np.asarray(given, np.float64).astype(np.float32)
    if vector.ndim != 1 or not len(vector):
        raise ValueError("vector is no list of numbers")
    if not np.isfinite(vector).all():
        raise ValueError("vector holds what is no finite number of 32 bits")
    return vector


def _metadata(given: object) -> Metadata:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError("metadata is no object")
    for key, value in given.items():
        held = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str | int) or (isinstance(one, float) and isfinite(one)) for one in held):
            raise ValueError(f"metadata.{key} is neither a string, a number, a boolean nor a list of them")
    found: dict[str, Scalar | Sequence[Scalar]] = given
    return found
