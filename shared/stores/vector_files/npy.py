"""A matrix in numpy's own format, and beside it, as NDJSON, a line for each of its rows: {"id", "text", "metadata"}.

Without the latter a row's id is its number, from 0. Nothing is ever unpickled.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import Invalid
from shared.stores.vector_files.beside import Beside
from shared.stores.vector_files.ndjson import NdjsonWriter
from shared.stores.vector_files.rows import BadRow, Row, Unreadable, row_of
from shared.strict_json import parse

_LINE_BYTES = 10 << 20
_AT_ONCE = 1000


def lines_of(path: Path) -> Path:
    """`vectors.ndjson` of `vectors.npy`."""
    return path.with_suffix(".ndjson")


class NpyReader:
    kept: Mapping[str, object] = {}

    def __init__(self, path: Path) -> None:
        try:
            # Read where it is wanted: a matrix may be larger than the memory.
            matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, SyntaxError) as exc:
            raise Unreadable(f"{path} is no whole .npy file: {exc}") from None
        if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind != "f":
            raise Unreadable(f"{path} is no matrix of floats")
        self._matrix: NDArray[np.floating] = matrix
        self._lines = lines_of(path) if lines_of(path).exists() else None
        self.size = len(matrix)

    def close(self) -> None:
        del self._matrix

    def rows(self, *, after: int = 0, number: int = 0) -> Iterator[Row | BadRow]:
        beside = islice(self._beside(), after, None)
        for start in range(after, self.size, _AT_ONCE):
            # A copy, so that the pages of the file that have been read need not stay.
            for at, vector in enumerate(np.array(self._matrix[start : start + _AT_ONCE]), start):
                line = next(beside, None)
                if line is None:
                    raise Unreadable(f"{self._lines} has fewer lines than the matrix has rows: {at}")
                yield _row(line, vector, at)
        if self._lines is not None and next(beside, None) is not None:
            raise Unreadable(f"{self._lines} has more lines than the matrix has rows: {self.size}")

    def _beside(self) -> Iterator[bytes]:
        if self._lines is None:
            yield from map(b'{"id":"%d"}'.__mod__, range(self.size))
            return
        with self._lines.open("rb") as file:
            while line := file.readline(_LINE_BYTES):
                yield line


class NpyWriter:
    """Of `count` rows: the file begins with how many there are."""

    def __init__(self, path: Path, *, dimension: int, count: int) -> None:
        self._beside = Beside(path)
        self._lines = NdjsonWriter(lines_of(path))
        self._shape = (count, dimension)

    def __enter__(self) -> Self:
        self._lines.__enter__()
        self._file = self._beside.path.open("wb")
        head = {"descr": "<f4", "fortran_order": False, "shape": self._shape}
        np.lib.format.write_array_header_1_0(self._file, head)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()
        # The lines first: a matrix is never there without its ids.
        self._lines.__exit__(kind, error, trace)
        self._beside.finish(is_whole=kind is None)

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            assert row.vector is not None
            self._file.write(row.vector.astype("<f4").tobytes())
        self._lines.write(
            [
                Row(number=row.number, end=row.end, id=row.id, vector=None, text=row.text, metadata=row.metadata)
                for row in rows
            ]
        )


def _row(line: bytes, vector: NDArray[np.floating], at: int) -> Row | BadRow:
    number = at + 1
    try:
        given = parse(line)
    except Invalid as exc:
        return BadRow(number=number, end=number, why=exc.message)
    if not isinstance(given, dict) or "vector" in given:
        why = "the line beside it is no JSON object, or has a vector of its own"
        return BadRow(number=number, end=number, why=why)
    return row_of({**given, "vector": vector}, number=number, end=number)
