"""`python -m shared.child`: runs actions that may block, one at a time, where they can be killed."""

import asyncio
import ctypes
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from shared import strict_json
from shared.catalog import load
from shared.config import Settings
from shared.confine import confine
from shared.function import MIB
from shared.perform import RunContext, perform
from shared.ports.tasks import Outcome
from shared.strict_json import Json
from shared.wiring import Ports

MEMORY_BYTES = 2048 * MIB
_PR_SET_PDEATHSIG = 1


class _ToldRun(RunContext):
    """Progress goes to the parent at once; the parent thins it out."""

    answers: BinaryIO

    def progress(self, percent: float, message: str = "") -> None:
        write(self.answers, {"progress": percent, "message": message})


def write(stream: BinaryIO, message: Json) -> None:
    body = strict_json.dump(message)
    stream.write(struct.pack("!I", len(body)) + body)
    stream.flush()


def read(stream: BinaryIO) -> dict[str, Json] | None:
    """None at the end of the stream."""
    size = stream.read(4)
    if len(size) < 4:
        return None
    message = strict_json.load(stream.read(struct.unpack("!I", size)[0]))
    assert isinstance(message, dict)
    return message


def outcome_message(outcome: Outcome) -> Json:
    error: Json = outcome.error.model_dump() if outcome.error else None
    return {"status": outcome.status, "result": outcome.result, "error": error, "retry_in_s": outcome.retry_in_s}


async def _run(job: dict[str, Json], ports: Ports, answers: BinaryIO) -> Outcome:
    spec = load(str(job["module"]))
    run = _ToldRun(UUID(str(job["user_id"])), UUID(str(job["execution_id"])), int(str(job["attempt"])))
    run.answers = answers
    parameters = job["parameters"]
    assert isinstance(parameters, dict)
    opened = await ports.of(spec)
    return await perform(
        spec,
        parameters,
        run=run,
        ports=opened,
        timeout_s=float(str(job["timeout_s"])),
        attempts_left=bool(job["attempts_left"]),
    )


def _guard(settings: Settings) -> None:
    """Dies with its parent, stays within its memory, and sees little of the file system."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    settings.files_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Code that is imported late, and what the system's libraries look up.
    code = [Path(place) for place in {*sys.path, sys.prefix, sys.base_prefix} if place]
    confine(read_write=[settings.files_dir], read_only=[*code, *map(Path, ("/usr", "/lib", "/lib64", "/etc", "/dev"))])


def main() -> None:
    jobs = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    # What an action prints must not end up among the answers.
    os.dup2(2, 1)
    settings = Settings.read()
    ports = Ports(settings)
    with asyncio.Runner() as runner:
        for module in sys.argv[1:]:
            runner.run(ports.of(load(module)))
        _guard(settings)
        write(answers, {"ready": True})
        while job := read(jobs):
            write(answers, {"outcome": outcome_message(runner.run(_run(job, ports, answers)))})
        runner.run(ports.__aexit__())


if __name__ == "__main__":
    main()
