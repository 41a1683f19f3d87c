"""A row a line: {"id", "vector", "text", "metadata"}."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from shared.errors import Invalid
from shared.stores.vector_files.beside import Beside
from shared.stores.vector_files.rows import BadRow, Row, row_of
from shared.strict_json import Json, dump, parse

# No request takes a longer one.
_LINE_BYTES = 10 << 20


class NdjsonReader:
    kept: Mapping[str, object] = {}

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    def close(self) -> None:
        self._file.close()

    def rows(self, *, after: int = 0, number: int = 0) -> Iterator[Row | BadRow]:
        self._file.seek(after)
        while line := self._file.readline(_LINE_BYTES):
            number += 1
            is_whole = line.endswith(b"\n") or len(line) < _LINE_BYTES
            while not is_whole and (rest := self._file.readline(_LINE_BYTES)):
                is_whole = rest.endswith(b"\n")
                line = b""
            end = self._file.tell()
            if not line:
                yield BadRow(number=number, end=end, why=f"the line is longer than {_LINE_BYTES >> 20} MiB")
            elif stripped := line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip():
                yield _read(stripped, number, end)


class NdjsonWriter:
    def __init__(self, path: Path) -> None:
        self._beside = Beside(path)

    def __enter__(self) -> Self:
        self._file = self._beside.path.open("wb")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._file.close()
        self._beside.finish(is_whole=kind is None)

    def write(self, rows: Sequence[Row]) -> None:
        self._file.writelines(written(row) for row in rows)


def written(row: Row) -> bytes:
    """Its line. What a row has not is left out."""
    line: dict[str, Json] = {"id": row.id}
    if row.vector is not None:
        line["vector"] = row.vector.tolist()
    if row.text is not None:
        line["text"] = row.text
    if row.metadata:
        line["metadata"] = {
            key: list(held) if isinstance(held, list | tuple) else held  # type: ignore[misc]
            for key, held in row.metadata.items()
        }
    return dump(line) + b"\n"


def _read(line: bytes, number: int, end: int) -> Row | BadRow:
    try:
        given = parse(line)
    except Invalid as exc:
        return BadRow(number=number, end=end, why=exc.message)
    if not isinstance(given, dict):
        return BadRow(number=number, end=end, why="the line is no JSON object")
    return row_of(given, number=number, end=end)
