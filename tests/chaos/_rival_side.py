"""What the rivals' processes share: one effect a task, counted in a file, and orders to a producer."""

import os
import sys
import time
from collections.abc import Callable

AMQP_URL = os.environ.get("RIVAL_AMQP_URL", "")
_EFFECTS = os.environ.get("RIVAL_EFFECTS", os.devnull)
# Between its effect and its end a task has more to do, as tasks have.
AFTER_S = 0.01
_opened: dict[int, int] = {}


def effect(task: str) -> None:
    """A line that is written at once: what is killed before it has left nothing, and after it all."""
    pid = os.getpid()
    if pid not in _opened:
        _opened[pid] = os.open(_EFFECTS, os.O_WRONLY | os.O_APPEND)
    os.write(_opened[pid], f"{task}\n".encode())


def work(task: str, ms: int) -> None:
    time.sleep(ms / 1000)
    effect(task)
    time.sleep(AFTER_S)


def produce(send: Callable[[str, int], object]) -> None:
    """Each line is a task and its ms; the answer says whether the client library took it."""
    for line in sys.stdin:
        task, ms = line.split()
        try:
            send(task, int(ms))
        except Exception as exc:  # each library has its own, and any of them is a refusal
            print(f"no {task} {type(exc).__name__}", flush=True)
        else:
            print(f"ok {task}", flush=True)
