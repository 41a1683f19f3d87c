"""Objects as files below one folder: written whole, beside their place, and then put into it."""

import asyncio
import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shared.config import Settings
from shared.errors import Conflict, NotFound, Unavailable
from shared.ports.objects import StoredObject
from shared.stores.objects.keys import PIECE_BYTES, checked_key, checked_prefix

# No key begins with a dot.
_LOCK = ".lock"
_STAGED = ".staged-"


class FolderObjects:
    """All processes of one machine share it; a condition and the write it guards are one act among them."""

    def __init__(self, *, settings: Settings) -> None:
        self._root = settings.objects_dir

    async def put(self, key: str, content: bytes, *, if_match: str | None = None, if_absent: bool = False) -> str:
        return await asyncio.to_thread(self._put, checked_key(key), content, if_match, if_absent)

    async def get(self, key: str) -> tuple[bytes, str]:
        return await asyncio.to_thread(self._get, checked_key(key))

    async def read(self, key: str) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(self._open, checked_key(key))
        try:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece
        finally:
            file.close()

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._delete, checked_key(key))

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        for stored in await asyncio.to_thread(lambda: sorted(self._stored(checked_prefix(prefix)), key=_key)):
            yield stored

    async def presigned(self, key: str, *, seconds: int) -> str | None:
        return None

    def _put(self, key: str, content: bytes, if_match: str | None, if_absent: bool) -> str:
        place = self._root / key
        with _told(), self._locked():
            if if_absent and place.exists():
                raise Conflict(f"there is an object {key!r} already")
            if if_match is not None and (not place.exists() or _etag(place.stat()) != if_match):
                raise Conflict(f"the object {key!r} is another one by now")
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _replace(place, content)

    def _open(self, key: str) -> BinaryIO:
        with _told():
            try:
                return (self._root / key).open("rb")
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise NotFound(f"no object {key!r}") from None

    def _get(self, key: str) -> tuple[bytes, str]:
        with self._open(key) as file:
            return file.read(), _etag(os.fstat(file.fileno()))

    def _delete(self, key: str) -> None:
        place = self._root / key
        with _told(), self._locked():
            try:
                place.unlink(missing_ok=True)
            except (IsADirectoryError, NotADirectoryError):
                return
            # A folder without objects is none.
            for folder in place.parents:
                if folder == self._root or not folder.is_dir() or any(folder.iterdir()):
                    return
                folder.rmdir()

    def _stored(self, prefix: str) -> Iterator[StoredObject]:
        with _told():
            for folder, _, names in os.walk(self._root / prefix.rpartition("/")[0]):
                for name in names:
                    place = Path(folder) / name
                    key = place.relative_to(self._root).as_posix()
                    if name.startswith(".") or not key.startswith(prefix):
                        continue
                    with suppress(FileNotFoundError):
                        status = place.stat()
                        yield StoredObject(key=key, size_bytes=status.st_size, etag=_etag(status))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._root / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _replace(place: Path, content: bytes) -> str:
    staged = tempfile.NamedTemporaryFile(prefix=_STAGED, dir=place.parent, delete=False)  # noqa: SIM115 - renamed
    try:
        with staged:
            staged.write(content)
            staged.flush()
            os.fsync(staged.fileno())
            etag = _etag(os.fstat(staged.fileno()))
        os.replace(staged.name, place)
    except BaseException:
        Path(staged.name).unlink(missing_ok=True)
        raise
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return etag


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise Unavailable("objects cannot be stored or read", reason=exc.strerror or "") from exc


def _etag(status: os.stat_result) -> str:
    """Every write makes a new file."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def _key(stored: StoredObject) -> str:
    return stored.key
