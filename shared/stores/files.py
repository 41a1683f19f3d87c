"""Users' files, a folder each below `files_dir`; a path is opened beneath its user's root or not at all."""

import errno
import heapq
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from shared.config import Settings
from shared.errors import ToolError
from shared.ports.files import Entry, FileInfo, Kind, Listing, Usage
from shared.stores import _account, _beneath, _paths

MAX_WALK = 50_000
_NEW_FILE, _NEW_FOLDER = 0o644, 0o755


class FolderFiles:
    """The port Files over a directory; counts and staged files lie in its `.accounts`, outside every root."""

    def __init__(self, *, settings: Settings) -> None:
        self._dir = settings.files_dir
        self._quota_bytes = settings.files_quota_bytes

    def root(self, user_id: UUID) -> "UserFolder":
        root, account = self.folders(user_id)
        return UserFolder(root, account, self._quota_bytes)

    def folders(self, user_id: UUID) -> tuple[Path, Path]:
        """Where a user's files and their account lie: all that an action on them needs to write to."""
        made = self._dir / user_id.hex, self._dir / ".accounts" / user_id.hex
        for folder in made:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return made

    def erase(self, user_id: UUID) -> None:
        for folder in (self._dir / user_id.hex, self._dir / ".accounts" / user_id.hex):
            if folder.is_dir():
                shutil.rmtree(folder)


class UserFolder:
    """The port UserFiles over one directory."""

    def __init__(self, root: Path, account: Path, quota_bytes: int) -> None:
        self._path = root
        self._account_path = account
        self._quota_bytes = quota_bytes

    def shown(self, path: str) -> str:
        return _paths.shown(_paths.names(path))

    def open(self, path: str) -> BinaryIO:
        parts = _paths.names(path)
        with _paths.told(parts), self._root() as root_fd:
            return _regular(_beneath.open_beneath(root_fd, parts, _beneath.READ))

    def read_bytes(self, path: str, *, limit_bytes: int) -> bytes:
        with self.open(path) as file:
            return _all(file, path, limit_bytes)

    def write(self, path: str, content: bytes) -> None:
        parts = _paths.names(path)
        with _paths.told(parts), self._account() as account, _parent(account.root_fd, parts) as folder_fd:
            _replace(account, folder_fd, parts[-1], content)

    def rewrite(self, path: str, change: Callable[[bytes], bytes], *, limit_bytes: int) -> None:
        parts = _paths.names(path)
        with _paths.told(parts), self._account() as account, _parent(account.root_fd, parts) as folder_fd:
            _must_be_replaceable(os.stat(parts[-1], dir_fd=folder_fd, follow_symlinks=False), parts[-1])
            with _regular(_beneath.open_linkless(folder_fd, parts[-1:], _beneath.READ)) as file:
                old = _all(file, path, limit_bytes)
            _replace(account, folder_fd, parts[-1], change(old))

    def make_directory(self, path: str) -> None:
        parts = _paths.names(path)
        _paths.check(parts, folder=True)
        with _paths.told(parts), self._account() as account:
            for end in range(1, len(parts) + 1):
                _make(account, parts[:end])

    def move(self, source: str, destination: str) -> None:
        old, new = _paths.names(source), _paths.names(destination)
        if not old or new[: len(old)] == old:
            raise ToolError(f"{_paths.quoted(source)} cannot be moved into itself")
        with _paths.told(old), self._account() as account, _parent(account.root_fd, old) as old_fd:
            if stat.S_ISDIR(os.stat(old[-1], dir_fd=old_fd, follow_symlinks=False).st_mode):
                _must_fit(account.root_fd, old, new)
            with _paths.told(new), _parent(account.root_fd, new) as new_fd:
                _beneath.rename_new(old_fd, old[-1], new_fd, new[-1])
                os.fsync(new_fd)
            os.fsync(old_fd)

    def entries(self, path: str, *, limit: int = 1000, cursor: str = "") -> Listing:
        parts = _paths.names(path)
        with _paths.told(parts), self._root() as root_fd, _folder(root_fd, parts) as found:
            later = (entry for entry in found if entry.name > cursor)
            first = heapq.nsmallest(limit + 1, later, key=lambda entry: entry.name)
            page = [_entry(entry, "") for entry in first]
        more = len(page) > limit
        return Listing(entries=tuple(page[:limit]), next_cursor=page[limit - 1].name if more else None)

    def walk(
        self, path: str, *, skip: Callable[[str], bool] = lambda _path: False, limit: int = MAX_WALK
    ) -> Iterator[Entry]:
        parts = _paths.names(path)
        with _paths.told(parts), self._root() as root_fd:
            waiting = _children(root_fd, parts, "", skip)
            while waiting:
                entry = waiting.pop()
                limit -= 1
                if limit < 0:
                    raise ToolError(f"{_paths.quoted(path)} holds too many files; name a folder further down")
                yield entry
                if entry.kind == "directory":
                    waiting += _children(root_fd, parts, entry.path, skip)

    def info(self, path: str) -> FileInfo:
        parts = _paths.names(path)
        with _paths.told(parts), self._root() as root_fd:
            fd = _beneath.open_beneath(root_fd, parts, _beneath.LOOK)
            try:
                found, created = os.fstat(fd), _beneath.born(fd)
            finally:
                os.close(fd)
        _paths.check(parts, folder=stat.S_ISDIR(found.st_mode))
        return FileInfo(
            kind=_kind(found.st_mode),
            size_bytes=found.st_size,
            created=_time(found.st_ctime if created is None else created),
            modified=_time(found.st_mtime),
            accessed=_time(found.st_atime),
            permissions=found.st_mode & 0o777,
        )

    def usage(self) -> Usage:
        with _paths.told(()), self._account() as account:
            return self._usage(account)

    def recount(self) -> Usage:
        with _paths.told(()), self._account() as account:
            account.recount()
            return self._usage(account)

    def _usage(self, account: _account.Account) -> Usage:
        return Usage(
            size_bytes=account.totals.size_bytes,
            quota_bytes=self._quota_bytes,
            entries=account.totals.entries,
            max_entries=_account.MAX_ENTRIES,
        )

    @contextmanager
    def _root(self) -> Iterator[int]:
        fd = os.open(self._path, _beneath.FOLDER | os.O_NOFOLLOW)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _account(self) -> Iterator[_account.Account]:
        with self._root() as fd, _account.opened(self._account_path, fd, self._quota_bytes) as account:
            yield account


def _replace(account: _account.Account, folder_fd: int, name: str, content: bytes) -> None:
    try:
        old = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        more_bytes, more_entries, mode = len(content), 1, _NEW_FILE
    else:
        _must_be_replaceable(old, name)
        more_bytes, more_entries, mode = len(content) - old.st_size, 0, old.st_mode & 0o777
    account.admit(more_bytes, more_entries)
    account.stage(content, mode)
    with account.change(more_bytes, more_entries):
        account.publish(folder_fd, name)


def _must_be_replaceable(found: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISLNK(found.st_mode):
        raise ToolError(f"{_paths.quoted(name)} is a symbolic link; write to the file it points at")
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{_paths.quoted(name)} is not a regular file")
    if found.st_nlink > 1:
        raise ToolError(f"{_paths.quoted(name)} is a hard link, the name of a file elsewhere too")


def _must_fit(root_fd: int, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """A folder that moves keeps the rules its new place has: no dot-folder, nothing too deep."""
    _paths.check(old, folder=True)
    _paths.check(new, folder=True)
    if len(new) + _account.survey(root_fd, old).depth > _paths.MAX_DEPTH:
        raise ToolError(f"{_paths.quoted(_paths.shown(new))} would be deeper than {_paths.MAX_DEPTH} folders")


def _make(account: _account.Account, parts: tuple[str, ...]) -> None:
    try:
        os.close(_beneath.open_beneath(account.root_fd, parts, _beneath.FOLDER))
        return
    except FileNotFoundError:
        account.admit(0, 1)
    with _parent(account.root_fd, parts) as folder_fd, account.change(0, 1):
        os.mkdir(parts[-1], _NEW_FOLDER, dir_fd=folder_fd)
        os.fsync(folder_fd)


@contextmanager
def _parent(root_fd: int, parts: tuple[str, ...]) -> Iterator[int]:
    """The folder that holds the last name."""
    if not parts:
        raise ToolError("'/' is your root itself; name a file or folder in it")
    with _paths.told(parts[:-1]):
        fd = _beneath.open_beneath(root_fd, parts[:-1], _beneath.FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _folder(root_fd: int, parts: tuple[str, ...]) -> Iterator["Iterator[os.DirEntry[str]]"]:
    """The entries of a folder that may be shown."""
    fd = _beneath.open_beneath(root_fd, parts, _beneath.FOLDER)
    try:
        _paths.check(parts, folder=True)
        with os.scandir(fd) as found:
            yield (entry for entry in found if _served(entry))
    finally:
        os.close(fd)


def _served(entry: "os.DirEntry[str]") -> bool:
    return _paths.speakable(entry.name) and not _paths.off_limits(
        entry.name, folder=entry.is_dir(follow_symlinks=False)
    )


def _children(root_fd: int, parts: tuple[str, ...], below: str, skip: Callable[[str], bool]) -> list[Entry]:
    """What a folder on a walk holds, last name first; a folder that went meanwhile holds nothing."""
    here = (*parts, *below.split("/")) if below else parts
    if len(here) > _paths.MAX_DEPTH:
        return []
    try:
        with _folder(root_fd, here) as found:
            kept = [entry for entry in (_entry(entry, below) for entry in found) if not skip(entry.path)]
    except OSError:
        if below:
            return []
        raise
    return sorted(kept, key=lambda entry: entry.name, reverse=True)


def _entry(found: "os.DirEntry[str]", below: str) -> Entry:
    path = f"{below}/{found.name}" if below else found.name
    try:
        info = found.stat(follow_symlinks=False)
    except FileNotFoundError:
        return Entry(name=found.name, path=path, kind="other", size_bytes=0)
    return Entry(name=found.name, path=path, kind=_kind(info.st_mode), size_bytes=info.st_size)


def _kind(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def _regular(fd: int) -> BinaryIO:
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
        raise OSError(code, os.strerror(code))
    return open(fd, "rb")


def _all(file: BinaryIO, path: str, limit_bytes: int) -> bytes:
    content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ToolError(f"{_paths.quoted(path)} is larger than {limit_bytes} bytes")
    return content


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
