"""A collection into a file: its pages are gathered beside it, and made the file once all of them are there.

What is gathered is kept when something ends it, and the next run goes on with its cursor.
"""

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np

from shared.errors import ConfigurationError
from shared.stores.vector_files.formats import writer_of
from shared.stores.vector_files.rows import Row
from shared.strict_json import Json, dump
from shared.vectors.transfer.progress import Progress
from shared.vectors.transfer.remote import Refused, Remote

_AT_ONCE = 500
_LINE_BYTES = 16 << 20
_KEPT = ("collection", "dimension", "metric", "model")
Line = Mapping[str, Json]


def gathered_in(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def export(remote: Remote, collection: str, file: Path, *, progress: Progress) -> int:
    """How many vectors there are in it. Raises Refused, Unavailable, and ConfigurationError where another one runs."""
    with gathered_in(file).open("a+b") as gathered:
        try:
            fcntl.flock(gathered, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(f"{gathered_in(file)} is being written by another export") from None
        last = _gather(remote, collection, gathered, progress)
        count = _write(gathered, file, last)
    gathered_in(file).unlink()
    progress.tell(count, int(str(last["seq"])), is_last=True)
    return count


def _gather(remote: Remote, collection: str, gathered: BinaryIO, progress: Progress) -> Line:
    """Returns what the last page said of itself."""
    source = f"{remote.url} {collection}"
    begun = _begun(gathered, source)
    rows, cursor = begun or (0, None)
    if begun is None:
        _begin(gathered, source)
    while True:
        try:
            page = dict(remote.call("GET", _path(collection, cursor)))
        except Refused as exc:
            if exc.status != 409 or cursor is None:
                raise
            progress.note(f"what was gathered cannot be gone on with: {exc.message}")
            _begin(gathered, source)
            rows, cursor = 0, None
            continue
        vectors = page.pop("vectors")
        assert isinstance(vectors, list)
        gathered.write(b"".join(map(_gathered, vectors)) + dump({"page": page}) + b"\n")
        gathered.flush()
        following = page["next_cursor"]
        rows, cursor = rows + len(vectors), following if isinstance(following, str) else None
        progress.total = int(str(page["from_seq"]))
        progress.tell(rows, int(str(page["seq"])))
        if cursor is None:
            return page


def _path(collection: str, cursor: str | None) -> str:
    asked = f"&cursor={quote(cursor)}" if cursor else ""
    return f"/vectors/collections/{quote(collection, safe='')}/export?limit=1000{asked}"


def _begin(gathered: BinaryIO, source: str) -> None:
    gathered.truncate(0)
    gathered.write(dump({"source": source}) + b"\n")


def _begun(gathered: BinaryIO, source: str) -> tuple[int, str] | None:
    """How many rows an earlier run left, and where it would have gone on; what came after its last whole page is cut.

    None where it had all pages, and so is what there was then.
    """
    rows = whole_rows = whole = 0
    cursor: Json = None
    for number, (end, line) in enumerate(_lines(gathered)):
        if number == 0 and line.get("source") != source:
            return None
        rows += "id" in line
        if isinstance(page := line.get("page"), dict):
            cursor, whole, whole_rows = page["next_cursor"], end, rows
    if not isinstance(cursor, str):
        return None
    gathered.truncate(whole)
    return whole_rows, cursor


def _lines(gathered: BinaryIO) -> Iterator[tuple[int, Line]]:
    """Where each ends, and what it says, up to the first that is not whole."""
    gathered.seek(0)
    while line := gathered.readline(_LINE_BYTES):
        try:
            found = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return
        yield gathered.tell(), found


def _gathered(vector: Json) -> bytes:
    """Its line: the numbers as bytes, which takes a quarter of their digits."""
    assert isinstance(vector, dict)
    numbers = vector["vector"]
    packed = None if numbers is None else base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()
    return dump({**vector, "vector": packed}) + b"\n"


def _write(gathered: BinaryIO, file: Path, last: Line) -> int:
    later: dict[str, int] = {}
    from_seq, count = int(str(last["from_seq"])), 0
    for _, line in _lines(gathered):
        if "id" in line and int(str(line["seq"])) > from_seq:
            later[str(line["id"])] = int(str(line["seq"]))
    rows = (line for _, line in _lines(gathered) if _counts(line, later))
    count = sum(1 for _ in rows)
    kept = {key: last[key] for key in _KEPT}
    with writer_of(file, dimension=int(str(last["dimension"])), count=count, kept=kept) as writer:
        rows = (line for _, line in _lines(gathered) if _counts(line, later))
        while some := [_row(line) for line in islice(rows, _AT_ONCE)]:
            writer.write(some)
    _sync_folder(file.parent)
    return count


def _counts(line: Line, later: Mapping[str, int]) -> bool:
    """Whether it is there in the end, and nothing newer of it."""
    return line.get("vector") is not None and later.get(str(line["id"]), line["seq"]) == line["seq"]


def _row(line: Line) -> Row:
    text, metadata = line["text"], line["metadata"]
    return Row(
        number=0,
        end=0,
        id=str(line["id"]),
        vector=np.frombuffer(base64.b64decode(str(line["vector"])), "<f4"),
        text=text if isinstance(text, str) else None,
        metadata=metadata if isinstance(metadata, dict) else {},  # type: ignore[arg-type]
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
