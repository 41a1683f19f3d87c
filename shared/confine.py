"""A second wall around an action: after it the process opens nothing but the folders named (Landlock)."""

import errno
import os
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.system_call import call, libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH, _PR_SET_NO_NEW_PRIVS = 1, 1, 38

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
_REMOVE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM, _REFER = 1 << 4 | 1 << 5, 1 << 7, 1 << 8, 1 << 12, 1 << 13
_READ = _READ_FILE | _READ_DIR
_READ_WRITE = _READ | _WRITE_FILE | _TRUNCATE | _REMOVE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER
_ON_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
# How many kinds of access each version of the interface knows; the first cannot allow moves to other folders.
_KINDS = {2: 14, 3: 15, 4: 15, 5: 16}
_LEAST_VERSION, _KNOWN_VERSION = 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """What was managed: `version` 0 means nothing; the lists hold what exists and stays open."""

    version: int
    read_write: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()


def confine(read_write: Sequence[Path], read_only: Sequence[Path]) -> Confinement:
    """Shut this thread and all it starts out of every other file, for good; nothing may be executed either.

    Files that are open already stay so; what is imported later must lie in one of the folders. Call it while
    there is one thread. Where the kernel cannot, nothing happens and the answer says so.
    """
    version = _version()
    if version < _LEAST_VERSION:
        return Confinement(version=0)
    handled = (1 << _KINDS[min(version, _KNOWN_VERSION)]) - 1
    attributes = struct.pack("Q", handled)
    ruleset_fd = call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        writable = tuple(path for path in read_write if _allow(ruleset_fd, path, _READ_WRITE & handled))
        readable = tuple(path for path in read_only if _allow(ruleset_fd, path, _READ & handled))
        # The kernel takes rules only from one who can no longer gain rights by executing something.
        if libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return Confinement(version=0)
        call(_RESTRICT_SELF, ruleset_fd, 0)
    finally:
        os.close(ruleset_fd)
    return Confinement(version=version, read_write=writable, read_only=readable)


def _allow(ruleset_fd: int, path: Path, access: int) -> bool:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _ON_FILES
        call(_ADD_RULE, ruleset_fd, _PATH_BENEATH, struct.pack("=Qi", access, fd), 0)
    finally:
        os.close(fd)
    return True


def _version() -> int:
    if sys.platform != "linux":
        return 0
    try:
        return call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError as exc:
        if exc.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise
