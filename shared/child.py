"""`python -m shared.child MODULE...`: a nursery, which has imported what actions need and forks a child when asked.

A child runs actions that may block, or that a worker died under, one at a time, where they can be killed.
"""

import asyncio
import ctypes
import gc
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID

from shared import strict_json
from shared.catalog import load
from shared.config import Settings
from shared.confine import confine
from shared.dialogue import Dialogue
from shared.function import MIB, LogLevel, Spec
from shared.perform import RunContext, perform
from shared.ports.tasks import Outcome
from shared.strict_json import Json
from shared.watched import WatchedRun
from shared.wiring import Ports, import_adapters

MEMORY_BYTES = 2048 * MIB
_PR_SET_PDEATHSIG = 1
# Of the loop: two read a farewell and the end of a connection, one tells whoever holds it, the others are for certain.
_TURNS_TO_HEAR = 8
# What stands on this machine for a store or a service, by the port that leads to it.
_PLACES: Mapping[str, Callable[[Settings], Path]] = {
    "shared.ports.objects.Objects": lambda settings: settings.objects_dir,
    "shared.ports.vector_service.VectorService": lambda settings: settings.keys_dir / "vectors.key",
}


class _Telling:
    """All goes to the parent at once; the parent thins it out."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers

    def progress(self, percent: float, message: str) -> None:
        write(self._answers, {"progress": percent, "message": message})

    def log(self, level: LogLevel, data: Json, logger: str) -> None:
        write(self._answers, {"level": level, "data": data, "logger": logger})

    def lacks(self, capability: str) -> None:
        write(self._answers, {"lacks": capability})

    def detached(self) -> None:
        write(self._answers, {"detached": True})


def hear(run: RunContext, message: Mapping[str, Json]) -> None:
    """In the parent, what a child told of its run."""
    if "progress" in message:
        run.progress(float(str(message["progress"])), str(message["message"]))
    elif isinstance(run, WatchedRun) and "lacks" in message:
        run.watcher.lacks(str(message["lacks"]))
    elif isinstance(run, WatchedRun) and "detached" in message:
        run.watcher.detached()
    elif isinstance(run, WatchedRun):
        run.log(cast(LogLevel, message["level"]), message["data"], logger=str(message["logger"]))


def write(stream: BinaryIO, message: Json) -> None:
    stream.write(framed(message))
    stream.flush()


def framed(message: Json) -> bytes:
    """Four bytes of length, then JSON."""
    body = strict_json.dump(message)
    return struct.pack("!I", len(body)) + body


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
    asks: Json = {"requests": dict(outcome.asks.requests), "state": outcome.asks.state} if outcome.asks else None
    said: dict[str, Json] = {"status": outcome.status, "result": outcome.result, "error": error, "asks": asks}
    ends: dict[str, Json] = {"retry_in_s": outcome.retry_in_s, "detaches": outcome.detaches}
    return {**said, **ends, "record_away": outcome.record_away}


def dialogue_message(dialogue: Dialogue) -> Json:
    said: dict[str, Json] = {"answers": dict(dialogue.answers), "state": dialogue.state}
    return {**said, "kinds": [*sorted(dialogue.kinds)], "detachable": dialogue.detachable}


def _dialogue(said: Json) -> Dialogue:
    assert isinstance(said, dict) and isinstance(said["kinds"], list) and isinstance(said["answers"], dict)
    return Dialogue(frozenset(map(str, said["kinds"])), said["answers"], said["state"], bool(said["detachable"]))


async def _run(job: dict[str, Json], ports: Ports, answers: BinaryIO) -> Outcome:
    # What servers said while nothing ran here is heard first: a connection that they ended would fail this job.
    for _ in range(_TURNS_TO_HEAR):
        await asyncio.sleep(0)
    spec = load(str(job["module"]))
    run = WatchedRun(
        UUID(str(job["user_id"])),
        UUID(str(job["execution_id"])),
        int(str(job["attempt"])),
        dialogue=_dialogue(job["dialogue"]),
        watcher=_Telling(answers),
    )
    parameters = job["parameters"]
    assert isinstance(parameters, dict)
    return await perform(
        spec,
        parameters,
        run=run,
        ports=await ports.of(spec),
        timeout_s=float(str(job["timeout_s"])),
        attempts_left=bool(job["attempts_left"]),
    )


def needed(spec: Spec) -> frozenset[str]:
    """The ports of an action whose adapters read places that other actions must not see."""
    return frozenset(_PLACES).intersection(f"{port.__module__}.{port.__qualname__}" for port in spec.ports.values())


def _guard(settings: Settings, spec: Spec) -> None:
    """Stays within its memory, and sees little of the file system: what its first action needs, and its like."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Where nothing may be written, there are no files: most agents have none.
    with suppress(OSError):
        settings.files_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Code that is imported late, and what the system's libraries look up.
    code = [Path(place) for place in {*sys.path, sys.prefix, sys.base_prefix} if place]
    # Where names are resolved is often written elsewhere, and only linked to.
    system = [*map(Path, ("/usr", "/lib", "/lib64", "/etc", "/dev")), Path("/etc/resolv.conf").resolve().parent]
    places = [_PLACES[name](settings) for name in sorted(needed(spec))]
    confine(read_write=[settings.files_dir], read_only=[*code, *system, *places])


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(connection: socket.socket, settings: Settings) -> None:
    """The life of a child: jobs in, outcomes out, until the other end closes."""
    jobs, answers = connection.makefile("rb"), connection.makefile("wb")
    _die_with_parent()
    if (job := read(jobs)) is None:
        return
    _guard(settings, load(str(job["module"])))
    with asyncio.Runner() as runner:
        ports = Ports(settings)
        while job is not None:
            write(answers, {"outcome": outcome_message(runner.run(_run(job, ports, answers)))})
            job = read(jobs)
        runner.run(ports.__aexit__())


def main() -> None:
    control = socket.socket(fileno=os.dup(0))
    _die_with_parent()
    settings = Settings.read()
    for module in sys.argv[1:]:
        import_adapters(load(module))
    # Nobody waits for children: what became of one shows at its socket.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    control.sendall(b"r")
    while (asked := socket.recv_fds(control, 1, 1))[0]:
        handles: list[int] = []
        received, pid = asked[1], -1
        # Without descriptors or memory there is no child; if the nursery ended, all that it has forked would too.
        with suppress(OSError):
            pid = os.fork() if received else -1
        if pid == 0:
            control.close()
            _serve(socket.socket(fileno=received[0]), settings)
            os._exit(0)
        for connection in received:
            os.close(connection)
        # By this handle a child can be killed, and never another process that was given its number.
        with suppress(OSError):
            handles = [os.pidfd_open(pid)]
        socket.send_fds(control, [b"c"], handles)
        for handle in handles:
            os.close(handle)


if __name__ == "__main__":
    main()
