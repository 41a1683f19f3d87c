"""Files: the folder that a user owns, reached by agents through paths in which that folder is `/`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Literal, Protocol
from uuid import UUID

Kind = Literal["file", "directory", "link", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name in a folder; `path` is relative to the folder that was asked for."""

    name: str
    path: str
    kind: Kind
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Entries in the order of their names; `next_cursor` is None on the last page."""

    entries: tuple[Entry, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInfo:
    """What is known about one file or folder, links followed; `permissions` are the lowest nine mode bits."""

    kind: Kind
    size_bytes: int
    created: datetime
    modified: datetime
    accessed: datetime
    permissions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a user's files take and may take; `entries` counts files, folders and links."""

    size_bytes: int
    quota_bytes: int
    entries: int
    max_entries: int


class UserFiles(Protocol):
    """One user's files.

    Every method takes paths as the user writes them and raises ToolError where one cannot be served: it leads
    outside, is off limits, missing or of the wrong kind. Unavailable means the storage itself is at fault.
    """

    def shown(self, path: str) -> str:
        """The path in one spelling: from `/`, without `.` and `..`."""

    def open(self, path: str) -> BinaryIO:
        """A regular file, open for reading; the caller closes it."""

    def read_bytes(self, path: str, *, limit_bytes: int) -> bytes:
        """The whole of a file; refused beyond the limit."""

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a file at once: readers see the old content or the new, a crash leaves one."""

    def rewrite(self, path: str, change: Callable[[bytes], bytes], *, limit_bytes: int) -> None:
        """Replace a file's content by `change(content)`, with no other write to this user's files between."""

    def make_directory(self, path: str) -> None:
        """Make a folder and those above it; one that exists is left as it is."""

    def move(self, source: str, destination: str) -> None:
        """Rename a file or folder; never over something that exists."""

    def entries(self, path: str, *, limit: int = 1000, cursor: str = "") -> Listing:
        """One page of a folder's names; off-limits names are left out."""

    def walk(self, path: str, *, skip: Callable[[str], bool] = ..., limit: int = ...) -> Iterator[Entry]:
        """Everything below a folder, a folder before what it holds; links are not followed.

        `skip(path)` leaves an entry out, and a folder with all it holds. Refused beyond `limit` entries.
        """

    def info(self, path: str) -> FileInfo: ...

    def usage(self) -> Usage: ...

    def recount(self) -> Usage:
        """Count anew, after something else (a git checkout) wrote below the root."""


class Files(Protocol):
    def root(self, user_id: UUID) -> UserFiles:
        """The files of a user, made on first use."""

    def erase(self, user_id: UUID) -> None:
        """Remove all that a user has; none is fine."""
