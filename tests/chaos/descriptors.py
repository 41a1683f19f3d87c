"""`make chaos C=descriptors`: a gateway runs out of descriptors, PostgreSQL out of connections; both come back."""

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import asked
from tests.chaos._work import RUNS_WHILE_AWAY
from tests.report import Target, at_least, at_most, exactly, report

_DESCRIPTORS = 160
_CALLERS = 400
_HELD_S = 6.0
_BACK_S = 15.0


@asynccontextmanager
async def _idle_callers(here: Cluster) -> AsyncIterator[int]:
    """Who connect and say nothing; as many as the gateway takes."""
    port = int(here.apis[0].rpartition(":")[2])
    writers: list[asyncio.StreamWriter] = []
    for _ in range(_CALLERS):
        try:
            async with asyncio.timeout(0.5):
                writers.append((await asyncio.open_connection("127.0.0.1", port))[1])
        except (OSError, TimeoutError):
            break
    try:
        yield len(writers)
    finally:
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def _all_connections(here: Cluster) -> AsyncIterator[Counter[str]]:
    """Every connection that the server still has for plain users, and each that comes free meanwhile."""
    held: list[asyncpg.Connection[asyncpg.Record]] = []
    told: Counter[str] = Counter()

    async def hold() -> None:
        while True:
            try:
                held.append(await asyncpg.connect(here.urls.postgres, timeout=2))
                told["taken"] += 1
            except asyncpg.TooManyConnectionsError:
                told["refused"] += 1
                await asyncio.sleep(0.1)
            except (OSError, TimeoutError, asyncpg.PostgresError):
                await asyncio.sleep(0.1)

    holding = asyncio.create_task(hold())
    await asyncio.sleep(3)
    try:
        yield told
    finally:
        holding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holding
        for connection in held:
            connection.terminate()


async def _exhausted(here: Cluster) -> tuple[int, int]:
    """How many descriptors the gateway had open at most, and how many new callers it left without an answer."""
    [pid], port = here.pids("gateway"), int(here.apis[0].rpartition(":")[2])
    until, most, unanswered = time.monotonic() + _HELD_S, 0, 0
    while time.monotonic() < until:
        most = max(most, len(os.listdir(f"/proc/{pid}/fd")))
        unanswered += not await _is_answered(port)
        await asyncio.sleep(0.1)
    return most, unanswered


async def _is_answered(port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return await reader.read(1) != b""
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return False


async def _goes_on(load: Load) -> float:
    """Seconds until ten more are accepted."""
    before, began = len(load.ids), time.monotonic()
    async with asyncio.timeout(120):
        while len(load.ids) < before + 10:
            await asyncio.sleep(0.05)
    return time.monotonic() - began


async def faults(here: Cluster, load: Load) -> dict[str, Target]:
    before = {role: here.pids(role) for role in ("gateway", "worker")}
    async with _idle_callers(here) as idle:
        most, unanswered = await _exhausted(here)
    descriptors_s = await _goes_on(load)
    async with _all_connections(here) as told:
        # So that pools, too, have to ask for new ones.
        here.kill("keeper")
        await asyncio.sleep(_HELD_S)
    connections_s = await _goes_on(load)
    print(f"{idle} idle callers, {dict(told)} connections; otherwise answered: {load.refused}")
    return {
        "idle callers": at_least(idle, _DESCRIPTORS // 2),
        "descriptors of the gateway at most": at_least(most, _DESCRIPTORS),
        "new callers without an answer": at_least(unanswered, 1),
        "connections taken": at_least(told["taken"], 1),
        "connections refused by PostgreSQL": at_least(told["refused"], 1),
        "seconds until it goes on, descriptors": at_most(descriptors_s, _BACK_S),
        "seconds until it goes on, connections": at_most(connections_s, _BACK_S),
        "processes that ended": exactly(sum(here.pids(role) != pids for role, pids in before.items()), 0),
    }


def main() -> int:
    asked(__doc__)
    bounded = ("prlimit", f"--nofile={_DESCRIPTORS}:{_DESCRIPTORS}")
    shape = Shape(functions=False, prefix={"gateway": bounded})
    return report("chaos-descriptors", asyncio.run(under_load(shape, faults, runs=RUNS_WHILE_AWAY)))


if __name__ == "__main__":
    sys.exit(main())
