"""everything/ledger-crash: takes the process that runs it down, or holds it up."""

import os
import time
from typing import Literal
from uuid import UUID

from pydantic import BaseModel

from functions.agents.everything._failing import Asked
from shared.function import MIB, Run, tool

_EXIT_STATUS = 13
_BLOCK_BYTES = 64 * MIB
# More than a child is given: where nothing bounds the process, this does.
_MOST_BLOCKS = 128


class Crash(Asked):
    failure: Literal["exit", "hang", "memory"]


class Survived(BaseModel):
    execution_id: UUID
    attempt: int


@tool(name="ledger-crash", effect="exec", timeout_s=150)
def ledger_crash(request: Crash, *, run: Run) -> Survived:
    """Take duration_ms, then end the process (exit), block it until it is killed (hang) or fill its memory.

    It leaves no effect, and succeeds only in attempts after the first fail_attempts.
    """
    for nap_s, percent in request.naps():
        time.sleep(nap_s)
        run.progress(percent, "waiting")
    if request.fails_in(run.attempt):
        _crash(request)
    return Survived(execution_id=run.execution_id, attempt=run.attempt)


def _crash(request: Crash) -> None:
    if request.failure == "exit":
        os._exit(_EXIT_STATUS)
    while request.failure == "hang":
        time.sleep(3600)
    blocks = [bytearray(_BLOCK_BYTES) for _ in range(_MOST_BLOCKS)]
    raise MemoryError(f"{len(blocks)} blocks of {_BLOCK_BYTES} bytes")
