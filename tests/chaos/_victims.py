"""`python -m tests.chaos._victims SOCKET`: forks a process for each act that is to be cut short at a system call.

Everything is imported before: what is swept is the act, not the start of an interpreter.
"""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from functions.auth.refresh import Refresh, refresh
from functions.keeper.keep import keep
from shared.config import Settings
from shared.function import Call
from shared.ports.bus import Bus
from shared.ports.ledger import Ledger
from shared.ports.sessions import Sessions
from shared.ports.signals import Signals
from shared.ports.tasks import NewTask, Outcome, Queue, TaskError, Tasks
from shared.ports.tokens import Tokens
from shared.ports.upkeep import Upkeep
from shared.stores.postgres.migrate import migrate
from shared.wiring import Ports, adapters_of

Told = dict[str, Any]
Act = Callable[[], Awaitable[Told]]
KEPT_S = 0.8
OUTCOMES = {
    "succeeded": Outcome("succeeded", {"first": True}),
    "failed": Outcome("failed", error=TaskError(code="TOOL_ERROR", message="asked for")),
    "again": Outcome("failed", error=TaskError(code="SERVICE_UNAVAILABLE", message="asked for"), retry_in_s=0.0),
}
_CALL = Call(request_id="sweep", address="192.0.2.1", user_agent="sweep")


async def _accept(ports: Ports, told: Told) -> Act:
    async def act() -> Told:
        new = [NewTask(user_id=UUID(told["user"]), **one, digest=b"d" * 32) for one in told["tasks"]]
        return {"ids": [str(i) for i in await (await ports.open(Tasks)).accept(new)]}

    return act


async def _wake(ports: Ports, told: Told) -> Act:
    async def act() -> Told:
        given = await ports.open(Upkeep), await ports.open(Bus), await ports.open(Signals)
        with suppress(TimeoutError):
            async with asyncio.timeout(KEPT_S):
                await keep(upkeep=given[0], bus=given[1], signals=given[2])
        return {}

    return act


async def _claim(ports: Ports, told: Told) -> Act:
    async def act() -> Told:
        queue = await ports.open(Queue)
        worker = await queue.join(["everything"], slot=told["slot"])
        claimed = await queue.claim(worker, "everything", ["ledger"], 16)
        return {"ids": [str(task.id) for task in claimed]}

    return act


async def _finish(ports: Ports, told: Told) -> Act:
    """What it holds it has claimed before it is watched."""
    queue, ledger = await ports.open(Queue), await ports.open(Ledger)
    worker = await queue.join(["everything"], slot=told["slot"])
    claimed = await queue.claim(worker, "everything", ["ledger"], 16)

    async def act() -> Told:
        for task in claimed:
            await ledger.write(task.user_id, task.id, "effect", task.attempt)
        outcome = OUTCOMES[told["outcome"]]
        written = await asyncio.gather(*(queue.finish(task, outcome) for task in claimed))
        return {"ids": [str(task.id) for task, done in zip(claimed, written, strict=True) if done]}

    return act


async def _refresh(ports: Ports, told: Told) -> Act:
    async def act() -> Told:
        sessions, tokens = await ports.open(Sessions), await ports.open(Tokens)
        pair = await refresh(Refresh(refresh_token=told["token"]), sessions=sessions, tokens=tokens, call=_CALL)
        return {"token": pair.refresh_token}

    return act


async def _migrate(ports: Ports, told: Told) -> Act:
    async def act() -> Told:
        return {"applied": await migrate(ports.settings.postgres_url)}

    return act


_ACTS = {
    "accept": _accept,
    "wake": _wake,
    "claim": _claim,
    "finish": _finish,
    "refresh": _refresh,
    "migration": _migrate,
}


def _say(wire: socket.socket, told: Told) -> None:
    wire.sendall(json.dumps(told).encode() + b"\n")


async def _victim(wire: socket.socket) -> None:
    with wire.makefile("rb") as lines:
        told = json.loads(lines.readline())
        async with Ports(Settings.read(told["environ"])) as ports:
            act = await _ACTS[told["act"]](ports, told)
            _say(wire, {"pid": os.getpid()})
            # Whoever watches has begun to.
            lines.readline()
            _say(wire, await act())
            # What follows is the end of a process, and of no act.
            os._exit(0)


def main() -> None:
    here = Path(sys.argv[1])
    for port in (Bus, Ledger, Queue, Sessions, Signals, Tasks, Tokens, Upkeep):
        for _ in adapters_of(port):
            pass
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(here))
        server.listen(64)
        while True:
            wire, _ = server.accept()
            if os.fork() == 0:
                server.close()
                try:
                    asyncio.run(_victim(wire))
                finally:
                    os._exit(0)
            wire.close()


if __name__ == "__main__":
    main()
