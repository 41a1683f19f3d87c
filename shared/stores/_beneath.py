"""Opening files below a directory so that no name, link or race leads out of it.

Every open is one `openat2` that refuses links altogether, on names that were checked as text; links that stay
beneath are read and replaced by their targets first. What changes between the two makes the open fail.
"""

import ctypes
import errno
import os
import platform
import stat
import struct
from collections import deque
from collections.abc import Sequence
from functools import cache

from shared.stores import _paths
from shared.system_call import call

_OPENAT2 = 437
_NUMBERS = {"x86_64": (316, 332), "aarch64": (276, 291)}
_BENEATH_NO_MAGIC_NO_LINKS = 0x08 | 0x02 | 0x04
_RENAME_NOREPLACE = 1
_AT_EMPTY_PATH, _STATX_BTIME, _BTIME_OFFSET = 0x1000, 0x800, 80
_MAX_LINKS = 16
_TRIES = 32
_KERNEL_PATH_BYTES = 4096

# O_PATH opens nothing, so no device or pipe notices; elsewhere a pipe must at least not make us wait.
LOOK = os.O_CLOEXEC | getattr(os, "O_PATH", os.O_NONBLOCK)
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def open_beneath(root_fd: int, parts: Sequence[str], flags: int) -> int:
    """Open `parts` below a directory, through links as long as they stay there.

    Raises OSError: EXDEV where a link leads out, ELOOP where links go round or change too fast to follow.
    """
    real = tuple(parts)
    for _ in range(_TRIES):
        try:
            return open_linkless(root_fd, real, flags)
        except OSError as exc:
            if exc.errno != errno.ELOOP:
                raise
        real = _without_links(root_fd, parts)
    raise OSError(errno.ELOOP, "links keep changing")


def open_linkless(root_fd: int, parts: Sequence[str], flags: int) -> int:
    """Open `parts` below a directory; a link among them is ELOOP."""
    path = "/".join(parts) or "."
    raw = os.fsencode(path)
    if not _has_openat2() or len(raw) >= _KERNEL_PATH_BYTES:
        return _walk(root_fd, parts, flags)
    return _openat2(root_fd, raw, flags)


def rename_new(source_fd: int, source: str, target_fd: int, target: str) -> None:
    """Rename within directories; raises FileExistsError rather than replace."""
    numbers = _NUMBERS.get(platform.machine())
    if numbers:
        try:
            call(numbers[0], source_fd, os.fsencode(source), target_fd, os.fsencode(target), _RENAME_NOREPLACE)
            return
        except OSError as exc:
            # Some file systems do not know the flag; then the user's lock keeps our own writers apart.
            if exc.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
    try:
        os.stat(target, dir_fd=target_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(source, target, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def born(fd: int) -> float | None:
    """When the file was created, in seconds since 1970; None where the file system does not keep it."""
    numbers = _NUMBERS.get(platform.machine())
    if not numbers:
        return None
    answer = ctypes.create_string_buffer(256)
    try:
        call(numbers[1], fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, answer)
    except OSError:
        return None
    if not struct.unpack_from("I", answer)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("qI", answer, _BTIME_OFFSET)
    return float(seconds + nanoseconds / 1e9)


def _without_links(root_fd: int, parts: Sequence[str]) -> tuple[str, ...]:
    """The path with every link replaced by its target; names on the way are checked as if asked for."""
    done: list[str] = []
    left = deque(parts)
    links = 0
    while left:
        name = left.popleft()
        if name in ("", "."):
            continue
        if name == "..":
            if not done:
                raise OSError(errno.EXDEV, "leads out")
            done.pop()
            continue
        _paths.check([*done, name], folder=bool(left))
        target = _link(root_fd, done, name)
        if target is None:
            done.append(name)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, "too many links")
        if target.startswith("/"):
            raise OSError(errno.EXDEV, "leads out")
        left.extendleft(reversed(target.split("/")))
    return tuple(done)


def _link(root_fd: int, folder: Sequence[str], name: str) -> str | None:
    folder_fd = open_linkless(root_fd, folder, FOLDER)
    try:
        return os.readlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return None
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            return None
        raise
    finally:
        os.close(folder_fd)


def _openat2(root_fd: int, path: bytes, flags: int) -> int:
    how = struct.pack("QQQ", flags, 0, _BENEATH_NO_MAGIC_NO_LINKS)
    for left in reversed(range(_TRIES)):
        try:
            return call(_OPENAT2, root_fd, path, how, len(how))
        except OSError as exc:
            # EAGAIN: a rename on the way made the kernel unsure that we are still beneath.
            if exc.errno not in (errno.EAGAIN, errno.EINTR) or not left:
                raise
    raise AssertionError


def _walk(root_fd: int, parts: Sequence[str], flags: int) -> int:
    """The same without `openat2`: one name at a time, none of them followed."""
    here = os.dup(root_fd)
    try:
        for name in parts[:-1]:
            below = _step(here, name, FOLDER)
            os.close(here)
            here = below
        return _step(here, parts[-1] if parts else ".", flags)
    finally:
        os.close(here)


def _step(folder_fd: int, name: str, flags: int) -> int:
    if stat.S_ISLNK(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    fd = os.open(name, flags | os.O_NOFOLLOW, dir_fd=folder_fd)
    # With O_PATH a link put there meanwhile is opened itself instead of refused.
    if stat.S_ISLNK(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return fd


@cache
def _has_openat2() -> bool:
    if platform.system() != "Linux":
        return False
    fd = os.open("/", FOLDER | os.O_PATH)
    try:
        os.close(_openat2(fd, b".", FOLDER | os.O_PATH))
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
