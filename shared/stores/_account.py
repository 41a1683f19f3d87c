"""What a user's files take: counted under a lock that lets one write at a time, outside their root."""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ToolError
from shared.stores import _beneath

MAX_ENTRIES = 200_000
_LOCK_WAIT_S = 20.0
_STAGED = "staged"
_RECORD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Totals:
    size_bytes: int = 0
    entries: int = 0
    depth: int = 0


class Account:
    """The count of one user's files, locked for as long as it is open."""

    def __init__(self, folder_fd: int, record_fd: int, root_fd: int, quota_bytes: int) -> None:
        self._folder_fd = folder_fd
        self._record_fd = record_fd
        self._quota_bytes = quota_bytes
        self.root_fd = root_fd
        # Only the holder of the lock stages, so what lies here was left by one that died.
        with suppress(FileNotFoundError):
            os.unlink(_STAGED, dir_fd=folder_fd)
        self.totals = self._read() or self.recount()

    def recount(self) -> Totals:
        self.totals = survey(self.root_fd)
        self._record("clean")
        return self.totals

    def stage(self, content: bytes, mode: int) -> None:
        """Put the content on disk beside the root, from where `publish` moves it to its place."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(_STAGED, flags, 0o600, dir_fd=self._folder_fd)
        with open(fd, "wb", buffering=0) as file:
            left = memoryview(content)
            while left:
                left = left[os.write(fd, left) :]
            os.fchmod(fd, mode)
            os.fsync(file.fileno())

    def publish(self, folder_fd: int, name: str) -> None:
        os.rename(_STAGED, name, src_dir_fd=self._folder_fd, dst_dir_fd=folder_fd)
        os.fsync(folder_fd)

    def admit(self, size_bytes: int, entries: int) -> None:
        """Raises ToolError where the change would pass the quota."""
        wanted = self.totals.size_bytes + size_bytes
        if size_bytes > 0 and wanted > self._quota_bytes:
            free = max(0, self._quota_bytes - self.totals.size_bytes)
            raise ToolError(f"the quota of {self._quota_bytes} bytes leaves {free}; this takes {size_bytes} more")
        if entries > 0 and self.totals.entries + entries > MAX_ENTRIES:
            raise ToolError(f"no more than {MAX_ENTRIES} files and folders are kept")

    @contextmanager
    def change(self, size_bytes: int, entries: int) -> Iterator[None]:
        """Around an effect: counted once it is durable; whoever dies within leaves a mark to count anew."""
        self._record("dirty")
        os.fdatasync(self._record_fd)
        yield
        self.totals = Totals(self.totals.size_bytes + size_bytes, self.totals.entries + entries)
        self._record("clean")

    def _read(self) -> Totals | None:
        words = os.pread(self._record_fd, _RECORD_BYTES, 0).split()
        if len(words) != 3 or words[0] != b"clean" or not (words[1] + words[2]).isdigit():
            return None
        return Totals(int(words[1]), int(words[2]))

    def _record(self, state: str) -> None:
        line = f"{state} {self.totals.size_bytes} {self.totals.entries}".ljust(_RECORD_BYTES - 1) + "\n"
        os.pwrite(self._record_fd, line.encode(), 0)


@contextmanager
def opened(folder: Path, root_fd: int, quota_bytes: int) -> Iterator[Account]:
    """The account kept in `folder`, once nobody else has it. Raises ToolError after 20 s."""
    folder_fd = os.open(folder, _beneath.FOLDER | os.O_NOFOLLOW)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        record_fd = os.open("usage", flags, 0o600, dir_fd=folder_fd)
        try:
            _lock(record_fd)
            yield Account(folder_fd, record_fd, root_fd, quota_bytes)
        finally:
            os.close(record_fd)
    finally:
        os.close(folder_fd)


def survey(root_fd: int, start: tuple[str, ...] = ()) -> Totals:
    """Count all that lies below a folder, whatever its name, a file with several names once."""
    size_bytes = entries = depth = 0
    seen: set[tuple[int, int]] = set()
    waiting = [start]
    while waiting:
        parts = waiting.pop()
        depth = max(depth, len(parts) - len(start))
        for found in _scan(root_fd, parts):
            entries += 1
            if found.is_dir(follow_symlinks=False):
                waiting.append((*parts, found.name))
                continue
            with suppress(FileNotFoundError):
                info = found.stat(follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and (info.st_dev, info.st_ino) not in seen:
                    size_bytes += info.st_size
                    if info.st_nlink > 1:
                        seen.add((info.st_dev, info.st_ino))
    return Totals(size_bytes, entries, depth)


def _scan(root_fd: int, parts: tuple[str, ...]) -> Iterator["os.DirEntry[str]"]:
    try:
        fd = _beneath.open_linkless(root_fd, parts, _beneath.FOLDER)
    except OSError as exc:
        if parts and exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES):
            return
        raise
    try:
        with os.scandir(fd) as found:
            yield from found
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    pause_s = 0.0005
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ToolError("other tasks write your files; try again in a moment") from None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.02)
