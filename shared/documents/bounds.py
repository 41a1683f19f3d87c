"""Bounds on reading what strangers wrote: the parsers are made for what is right, and files can be made to be wrong."""

import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from shared.errors import ToolError
from shared.function import MIB

READ_S = 120.0
READ_BYTES = 768 * MIB


class _Late(BaseException):
    """Parsers catch what is an Exception, and go on."""


@contextmanager
def bounded(*, seconds: float = READ_S, size_bytes: int = READ_BYTES) -> Iterator[None]:
    """So much CPU time, and so much memory beside what is in use. Raises ToolError where either is not enough.

    Time can only be bounded in a process's main thread, which is where actions run that are confined.
    """
    with _memory(size_bytes):
        try:
            with _time(seconds):
                yield
        except _Late:
            raise ToolError(f"the document is too tangled: it could not be read within {seconds:g} s") from None
        except (MemoryError, RecursionError):
            raise ToolError("the document is too tangled: reading it takes too much memory") from None


@contextmanager
def _time(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise _Late

    before = signal.signal(signal.SIGPROF, late)
    # Again and again: one may come where an exception is only printed, as in `__del__`.
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@contextmanager
def _memory(size_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    bounds = [limit for limit in (_in_use(size_bytes), soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(bounds, default=soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _in_use(more: int) -> int:
    """With so much more. Whoever is confined may not look, and has a bound of its own."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except PermissionError:
        return resource.RLIM_INFINITY
    return pages * resource.getpagesize() + more
