"""Which format a file is in: its name's end says so."""

from collections.abc import Mapping
from pathlib import Path

from shared.errors import ConfigurationError
from shared.stores.vector_files.rows import RowReader, RowWriter

SUFFIXES = (".ndjson", ".jsonl", ".parquet", ".npy")


def reader_of(path: Path) -> RowReader:
    """Raises Unreadable, and ConfigurationError for a name of no format."""
    suffix = check_name(path)
    if suffix == ".parquet":
        from shared.stores.vector_files.parquet import ParquetReader

        return ParquetReader(path)
    if suffix == ".npy":
        from shared.stores.vector_files.npy import NpyReader

        return NpyReader(path)
    from shared.stores.vector_files.ndjson import NdjsonReader

    return NdjsonReader(path)


def writer_of(path: Path, *, dimension: int, count: int, kept: Mapping[str, object]) -> RowWriter:
    """Raises ConfigurationError for a name of no format."""
    suffix = check_name(path)
    if suffix == ".parquet":
        from shared.stores.vector_files.parquet import ParquetWriter

        return ParquetWriter(path, dimension=dimension, kept=kept)
    if suffix == ".npy":
        from shared.stores.vector_files.npy import NpyWriter

        return NpyWriter(path, dimension=dimension, count=count)
    from shared.stores.vector_files.ndjson import NdjsonWriter

    return NdjsonWriter(path)


def check_name(path: Path) -> str:
    """Its end. Raises ConfigurationError for that of no format."""
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"{path.name!r} ends in none of {', '.join(SUFFIXES)}")
    return path.suffix
