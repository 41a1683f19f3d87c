"""What a container takes from a process: another user, a root that nobody can write to, one temporary folder.

By a user namespace, so neither root nor a container is needed: in it this process's user is called 65532.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

UID = 65532

_NEW_MOUNTS, _NEW_USERS = 0x0002_0000, 0x1000_0000
_NO_SUID, _NO_DEVICES, _PRIVATE = 2, 4, 1 << 18
_MOUNT_SETATTR, _HERE, _RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1


def entering(folder: Path) -> Callable[[], None]:
    """What a child does between fork and exec; afterwards it can write below `folder` and nowhere else."""
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid, target = os.geteuid(), os.getegid(), str(folder).encode()
    attributes = struct.pack("QQQQ", _READ_ONLY, 0, _PRIVATE, 0)

    def enter() -> None:
        _check(libc.unshare(_NEW_USERS | _NEW_MOUNTS))
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{UID} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{UID} {gid} 1")
        _check(libc.syscall(_MOUNT_SETATTR, _HERE, b"/", _RECURSIVE, attributes, len(attributes)))
        _check(libc.mount(b"tmpfs", target, b"tmpfs", _NO_SUID | _NO_DEVICES, b"mode=0700,size=64m"))

    return enter


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
