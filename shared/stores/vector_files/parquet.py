"""Parquet: the columns `id`, `vector` (a list of floats), and where there is any `text` and `metadata` (JSON text).

What the file says of its collection lies in its schema's metadata, under `sutazai`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.errors import Invalid
from shared.stores.vector_files.beside import Beside
from shared.stores.vector_files.rows import MEMBERS, BadRow, Row, Unreadable, row_of
from shared.strict_json import dump, parse

_AT_ONCE = 500
# Of a group of rows that is written, and the most that one may come to which is read.
_GROUP_BYTES = 32 << 20
_MOST_GROUP_BYTES = 2 << 30
_HEAD_BYTES = 64 << 20
_KEPT = b"sutazai"


class ParquetReader:
    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(
                path,
                memory_map=True,
                buffer_size=1 << 20,
                # What describes the file may not be larger than any description is.
                thrift_string_size_limit=_HEAD_BYTES,
                thrift_container_size_limit=_HEAD_BYTES // 64,
            )
        except (pa.ArrowException, OSError) as exc:
            raise Unreadable(f"{path} is no whole Parquet file: {_first_line(exc)}") from None
        self._path = path
        try:
            self._columns = self._checked(self._file.schema_arrow)
        except Unreadable:
            self.close()
            raise
        self.size = self._file.metadata.num_rows
        self.kept = _kept(self._file.schema_arrow.metadata)

    def close(self) -> None:
        self._file.close()

    def rows(self, *, after: int = 0, number: int = 0) -> Iterator[Row | BadRow]:
        first, groups = 0, list[int]()
        for group in range(self._file.metadata.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            if not groups and first + count <= after:
                first += count
            else:
                groups.append(group)
        at = first
        try:
            for batch in self._file.iter_batches(_AT_ONCE, row_groups=groups, columns=self._columns):
                for given in _members(batch):
                    at += 1
                    if at > after:
                        yield _row(given, at)
        except (pa.ArrowException, OSError) as exc:
            raise Unreadable(f"{self._path} cannot be read after row {at}: {_first_line(exc)}") from None

    def _checked(self, schema: pa.Schema) -> list[str]:
        columns = [name for name in schema.names if name in MEMBERS]
        if "id" not in columns or not {"vector", "text"} & set(columns):
            raise Unreadable(f"{self._path} lacks the column id, or both vector and text")
        if len(set(columns)) != len(columns):
            raise Unreadable(f"{self._path} has a column twice")
        if "vector" in columns and not _is_vectors(schema.field("vector").type):
            raise Unreadable(f"{self._path}: the column vector is {schema.field('vector').type}, no list of floats")
        for group in range(self._file.metadata.num_row_groups):
            size_bytes = self._file.metadata.row_group(group).total_byte_size
            if size_bytes > _MOST_GROUP_BYTES:
                raise Unreadable(f"{self._path}: a group of rows has {size_bytes >> 20} MiB: write smaller ones")
        return columns


class ParquetWriter:
    def __init__(self, path: Path, *, dimension: int, kept: Mapping[str, object]) -> None:
        self._beside = Beside(path)
        self._schema = pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False),
                pa.field("text", pa.string()),
                pa.field("metadata", pa.string()),
            ],
            metadata={_KEPT: json.dumps(kept).encode()},
        )
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        self._file = pq.ParquetWriter(self._beside.path, self._schema, compression="zstd")
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._file.close()
            self._beside.finish(is_whole=kind is None)

    def write(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        vectors = np.stack([row.vector for row in rows if row.vector is not None])
        of_all = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
        ids, texts = [row.id for row in rows], [row.text for row in rows]
        metadata = [dump(dict(row.metadata)).decode() if row.metadata else None for row in rows]  # type: ignore[arg-type]
        columns = [pa.array(ids, pa.string()), of_all, pa.array(texts, pa.string()), pa.array(metadata, pa.string())]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        if sum(batch.nbytes for batch in self._waiting) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write_table(pa.Table.from_batches(self._waiting))
        self._waiting = []


def _is_vectors(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list) and bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _kept(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, object]:
    """Of a file that somebody else has written: nothing."""
    try:
        found = parse((metadata or {}).get(_KEPT, b"{}"))
    except Invalid:
        return {}
    return found if isinstance(found, dict) else {}


def _members(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    names = [name for name in batch.schema.names if name != "vector"]
    others = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    vectors = iter(batch.column("vector")) if "vector" in batch.schema.names else None
    for values in others:
        given = dict(zip(names, values, strict=True))
        if vectors is not None and (held := next(vectors).values) is not None:
            given["vector"] = held.to_numpy(zero_copy_only=False)
        yield given


def _row(given: dict[str, Any], number: int) -> Row | BadRow:
    metadata = given.get("metadata")
    if isinstance(metadata, str):
        try:
            given["metadata"] = parse(metadata.encode()) if metadata else None
        except Invalid as exc:
            return BadRow(number=number, end=number, why=f"metadata: {exc.message}")
    elif isinstance(metadata, dict):
        # A struct has a member for whatever any row has.
        given["metadata"] = {key: value for key, value in metadata.items() if value is not None}
    return row_of(given, number=number, end=number)


def _first_line(exc: BaseException) -> str:
    return str(exc).partition("\n")[0][:300]
