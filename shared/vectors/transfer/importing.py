"""A file's rows into a collection, batch by batch: what is acknowledged is noted, and the next run goes on there."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import ConfigurationError
from shared.stores.vector_files.formats import reader_of
from shared.stores.vector_files.ndjson import written
from shared.stores.vector_files.rows import BadRow, Row, RowReader
from shared.strict_json import Json, dump
from shared.vectors.transfer.progress import Progress
from shared.vectors.transfer.remote import Refused, Remote

# Of one request: its vectors, the bytes of their lines, and the members of all objects, each less than may be.
_ROWS = 1000
_BYTES = 9 << 20
_KEYS = 9_000
# What another, smaller batch may be spared.
_OF_A_ROW = frozenset({400, 413})


class Place(BaseModel):
    """How far an import is, and of what: another file, or another collection, is begun anew."""

    model_config = ConfigDict(frozen=True)
    url: str
    collection: str
    size_bytes: int
    mtime_ns: int
    end: int = 0
    number: int = 0
    bad: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`create`: what the collection is made of where there is none yet, its dimension but from the file's first row.

    `most_bad`: with the next one it stops.
    """

    file: Path
    collection: str
    create: Mapping[str, Json] | None = None
    most_bad: int = 1000


class _Stopped(Exception):
    """More rows are bad than may be."""


@dataclass(slots=True)
class Imported:
    """`rows` includes bad ones, and those of earlier runs; `is_whole` is false where too many were bad."""

    rows: int = 0
    bad: int = 0
    changed: int = 0
    is_whole: bool = True


def place_file(file: Path, collection: str) -> Path:
    return file.with_name(f"{file.name}.{quote(collection, safe='')}.import")


class Importer:
    def __init__(self, remote: Remote, wanted: Wanted, *, progress: Callable[[int], Progress]) -> None:
        self._remote = remote
        self._wanted = wanted
        self._progress = progress
        self._batch: list[Row] = []
        self._lines: list[bytes] = []
        self._ids: set[str] = set()
        self._bytes = self._keys = 0
        self._imported = Imported()

    def run(self) -> Imported:
        """Raises Refused, Unavailable, and Unreadable for the file; what was acknowledged until then is kept."""
        reader = reader_of(self._wanted.file)
        try:
            return self._run(reader)
        finally:
            reader.close()

    def _run(self, reader: RowReader) -> Imported:
        found = self._described(reader)
        self._dimension, self._model = int(str(found["dimension"])), found["model"]
        # To a collection that has never held anything, texts bring the default model.
        self._takes_texts = self._model is not None or found["from_seq"] == 0
        self._place = self._begun(int(str(found["from_seq"])))
        self._told = self._progress(reader.size)
        self._imported.rows, self._imported.bad = self._place.number, self._place.bad
        self._end = self._place.end
        self._tell()
        try:
            for row in reader.rows(after=self._end, number=self._imported.rows):
                self._take(row)
            self._send()
            place_file(self._wanted.file, self._wanted.collection).unlink(missing_ok=True)
        except _Stopped:
            self._imported.is_whole = False
        self._tell(is_last=True)
        return self._imported

    def _described(self, reader: RowReader) -> Mapping[str, Json]:
        name = self._wanted.collection
        path = f"/vectors/collections/{quote(name, safe='')}/export?limit=1"
        try:
            return self._remote.call("GET", path)
        except Refused as exc:
            if exc.status != 404 or self._wanted.create is None:
                raise
        kept = {key: reader.kept[key] for key in ("metric", "model") if reader.kept.get(key)}
        asked: dict[str, Json] = {"name": name, "dimension": _dimension(reader), **kept, **self._wanted.create}  # type: ignore[dict-item]
        self._remote.call("POST", "/vectors/collections", dump(asked))
        return self._remote.call("GET", path)

    def _begun(self, seq: int) -> Place:
        file = self._wanted.file.stat()
        fresh = Place(
            url=self._remote.url,
            collection=self._wanted.collection,
            size_bytes=file.st_size,
            mtime_ns=file.st_mtime_ns,
        )
        try:
            noted = Place.model_validate_json(place_file(self._wanted.file, self._wanted.collection).read_bytes())
        except (OSError, ValidationError):
            return fresh
        is_same = noted.model_copy(update={"end": 0, "number": 0, "bad": 0, "seq": 0}) == fresh
        # A collection that is not as far any more is another one, of the same name.
        return noted if is_same and noted.seq <= seq else fresh

    def _take(self, row: Row | BadRow) -> None:
        row = self._checked(row) if isinstance(row, Row) else row
        if isinstance(row, Row):
            self._gather(row)
        elif self._imported.bad == self._wanted.most_bad:
            # What comes before the one that ends it is in.
            self._send()
        self._imported.rows, self._end = row.number, row.end
        if isinstance(row, BadRow):
            self._refuse(row.number, row.why)

    def _gather(self, row: Row) -> None:
        line, keys = written(row)[:-1], 4 + len(row.metadata)
        is_full = len(self._batch) == _ROWS or self._bytes + len(line) + 1 > _BYTES or self._keys + keys > _KEYS
        # Of one id twice the later counts, which no request can say.
        if self._batch and (is_full or row.id in self._ids):
            self._send()
        self._batch.append(row)
        self._lines.append(line)
        self._ids.add(row.id)
        self._bytes += len(line) + 1
        self._keys += keys

    def _checked(self, row: Row) -> Row | BadRow:
        why = ""
        if row.vector is None and not self._takes_texts:
            why = "there is no vector, and the collection has no model that would make one of the text"
        elif row.vector is not None and len(row.vector) != self._dimension:
            why = f"the vector has {len(row.vector)} numbers, and the collection takes {self._dimension}"
        return BadRow(number=row.number, end=row.end, why=why) if why else row

    def _send(self) -> None:
        """What has been gathered. Where that stops in the middle, the next run begins with the whole of it."""
        if self._batch:
            self._upsert(self._batch, self._lines)
        self._batch, self._lines, self._ids, self._bytes, self._keys = [], [], set(), 0, 0
        done = {"end": self._end, "number": self._imported.rows, "bad": self._imported.bad}
        self._place = self._place.model_copy(update=done)
        self._note()
        self._tell()

    def _upsert(self, batch: list[Row], lines: list[bytes]) -> None:
        """In halves, where something in it is refused, down to the rows that are."""
        try:
            answer = self._remote.call("POST", "/vectors/upsert", self._body(batch, lines))
        except Refused as exc:
            if exc.status not in _OF_A_ROW:
                raise
            if len(batch) == 1:
                self._refuse(batch[0].number, exc.message)
            else:
                half = len(batch) // 2
                self._upsert(batch[:half], lines[:half])
                self._upsert(batch[half:], lines[half:])
            return
        self._imported.changed += int(str(answer["changed"]))
        self._place = self._place.model_copy(update={"seq": int(str(answer["seq"]))})

    def _body(self, batch: list[Row], lines: list[bytes]) -> bytes:
        # Vectors of a model's are taken from whoever says that they are.
        is_of_model = self._model is not None and any(row.vector is not None for row in batch)
        model = b',"model":%b' % dump(self._model) if is_of_model else b""
        collection = dump(self._wanted.collection)
        return b'{"collection":%b%b,"vectors":[%b]}' % (collection, model, b",".join(lines))

    def _refuse(self, number: int, why: str) -> None:
        self._imported.bad += 1
        self._told.note(f"{self._wanted.file}:{number}: {why}")
        if self._imported.bad > self._wanted.most_bad:
            raise _Stopped

    def _note(self) -> None:
        """Without it the next run begins anew, which costs time alone: the same row twice is one."""
        file = place_file(self._wanted.file, self._wanted.collection)
        new = file.with_name(f"{file.name}.new")
        try:
            new.write_text(self._place.model_dump_json())
            os.replace(new, file)
        except OSError:
            return

    def _tell(self, *, is_last: bool = False) -> None:
        self._told.tell(self._imported.rows, self._end, is_last=is_last)


def _dimension(reader: RowReader) -> int:
    for row in reader.rows():
        if isinstance(row, Row) and row.vector is not None:
            return len(row.vector)
    raise ConfigurationError("the file has no vector that would say which dimension the collection is of")
