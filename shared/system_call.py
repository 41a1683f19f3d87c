"""System calls that Python has no function for."""

import ctypes
import os
from functools import cache


@cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Raises OSError."""
    syscall = libc().syscall
    syscall.restype = ctypes.c_long
    wide = (ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments)
    answer = int(syscall(ctypes.c_long(number), *wide))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer
