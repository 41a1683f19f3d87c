"""Rows as bytes and back: arrays as numpy writes them, strings as they lie, codes as FAISS writes them.

Nothing here can run what it reads: no pickles, and every length is held against what is there.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from shared.ports.vector_engine import Metric
from shared.stores.faiss.codes import Codes
from shared.stores.faiss.rows import Rows
from shared.stores.faiss.strings import Strings

# What one object holds at most: this much is in memory twice while it is written or read.
PIECE_BYTES: Final = 1 << 26
_ARRAYS: Final[Mapping[str, type[np.generic]]] = {"numbers": np.int64, "seqs": np.int64, "created_at": np.float64}
_STRINGS: Final = ("ids", "metadata", "texts")

Parts = Mapping[str, bytes]
Made = Iterator[tuple[str, Callable[[], bytes]]]


def write_array(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def read_array(written: bytes, kind: type[np.generic]) -> NDArray[Any]:
    """Raises ValueError. Made of the bytes themselves: a header that promises more than follows gets nothing."""
    file = io.BytesIO(written)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array of another version")
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype != kind or is_fortran or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype!r}")
    rest = memoryview(written)[file.tell() :]
    found = np.frombuffer(rest, dtype)
    return found.reshape(shape)


def written_rows(rows: Rows, name: str) -> Made:
    """What each part is called, and what makes it: one after another, so that they are never all in memory."""
    for array in _ARRAYS:
        yield f"{name}-{array}", lambda array=array: write_array(getattr(rows, array))  # type: ignore[misc]
    for strings in _STRINGS:
        held: Strings = getattr(rows, strings)
        yield f"{name}-{strings}-starts", lambda held=held: write_array(held.starts)  # type: ignore[misc]
        for number, start in enumerate(range(0, len(held.whole), PIECE_BYTES)):
            yield (
                f"{name}-{strings}.{number:04d}",
                lambda held=held, start=start: held.whole[start : start + PIECE_BYTES],  # type: ignore[misc]
            )
    for number, start, end in _ranges(*rows.flat.vectors.shape):
        yield f"{name}-vectors.{number:04d}", lambda s=start, e=end: write_array(rows.flat.vectors[s:e])  # type: ignore[misc]
    if codes := rows.codes:
        written: list[bytes] = []
        for number in range(-(-(codes.size_bytes + (1 << 20)) // PIECE_BYTES)):
            yield f"{name}-codes.{number:04d}", lambda n=number: _piece(codes, written, n)  # type: ignore[misc]


def read_rows(parts: Parts, name: str, *, dimension: int, metric: Metric, depth: int | None) -> Rows:
    """Raises ValueError and KeyError where they do not fit together."""
    arrays = {array: read_array(parts[f"{name}-{array}"], kind) for array, kind in _ARRAYS.items()}
    count = len(arrays["numbers"])
    if any(array.shape != (count,) for array in arrays.values()) or (np.diff(arrays["numbers"]) <= 0).any():
        raise ValueError("numbers that do not go upwards")
    vectors = np.empty((count, dimension), np.float32)
    for number, start, end in _ranges(count, dimension):
        vectors[start:end] = _shaped(parts[f"{name}-vectors.{number:04d}"], (end - start, dimension))
    rows = Rows(
        metric=metric,
        numbers=arrays["numbers"],
        seqs=arrays["seqs"],
        created_at=arrays["created_at"],
        vectors=vectors,
        ids=_read_strings(parts, f"{name}-ids", count),
        metadata=_read_strings(parts, f"{name}-metadata", count),
        texts=_read_strings(parts, f"{name}-texts", count),
    )
    if depth is not None:
        rows.codes = Codes.read(_joined(parts, f"{name}-codes"), depth, rows.flat)
    return rows


def _ranges(count: int, dimension: int) -> Iterator[tuple[int, int, int]]:
    step = max(1, PIECE_BYTES // (4 * dimension))
    for number, start in enumerate(range(0, count, step)):
        yield number, start, min(start + step, count)


def _piece(codes: Codes, written: list[bytes], number: int) -> bytes:
    if not written:
        written.append(codes.written())
    return written[0][number * PIECE_BYTES : (number + 1) * PIECE_BYTES]


def _joined(parts: Parts, name: str) -> bytes:
    return b"".join(parts[key] for key in sorted(parts) if key.rpartition(".")[0] == name)


def _shaped(written: bytes, shape: tuple[int, int]) -> NDArray[Any]:
    found = read_array(written, np.float32)
    if found.shape != shape:
        raise ValueError("vectors of another dimension")
    return found


def _read_strings(parts: Parts, name: str, count: int) -> Strings:
    starts = read_array(parts[f"{name}-starts"], np.int64)
    whole = _joined(parts, name)
    if starts.shape != (count + 1,) or starts[0] != 0 or starts[-1] != len(whole) or (np.diff(starts) < 0).any():
        raise ValueError("strings that end elsewhere")
    return Strings(whole, starts)
