"""The loop and the task that run here, without the system call that Python before 3.12 makes each time it is asked."""

import asyncio
import os
import threading
from typing import Any


class _Here(threading.local):
    loop: asyncio.AbstractEventLoop | None = None


_here = _Here()


def _forget() -> None:
    """A child that was forked while a loop ran has a copy of it, which says that it still runs."""
    _here.loop = None


os.register_at_fork(after_in_child=_forget)


def running_loop() -> asyncio.AbstractEventLoop:
    """As asyncio.get_running_loop. Raises RuntimeError where none runs."""
    loop = _here.loop
    if loop is None or not loop.is_running():
        loop = _here.loop = asyncio.get_running_loop()
    return loop


def running_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task(running_loop())
    assert task is not None, "only a task can be ended"
    return task
