"""`make chaos C=rivals`: one storm, of worker kills and a broker kill, on Celery, Dramatiq, taskiq and ours.

Lost: the client library, or our API, said that it was taken, and it never called outside. Repeated: it did so more than
once, which is counted outside for all of them alike. What ours repeats it repeats under one key, and no more often than
a worker was given it.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from tests.chaos._cluster import Shape, cluster
from tests.chaos._rivals import RIVALS, WORKERS, Rival, Running, Tally, running
from tests.chaos._seeds import Fault, Worst, asked, keep_worst, schedule
from tests.chaos._work import GIVEN_UP, judged, ledger, until_ended
from tests.ledger_origin import origin
from tests.rabbitmq import RabbitMQ
from tests.report import Target, at_least, exactly, report
from tests.system.platform import Client

OURS = "ours"
_EVERY_S = (1.5, 4.0)
_TASK_MS = 100
_QUIET_S = 15.0
# A client library may take its time for each task: what is not taken within so many times the storm's is not counted.
_PATIENCE = 1.5
# What is not taken is offered again as another task here, so that there may be more rows than answers.
_OURS = (
    "duplicated effects",
    "outside calls with a second key",
    "called more often than run",
    "not exactly one result event",
)
Send = Callable[[str, int], Awaitable[bool]]
Strike = Callable[[Fault], Awaitable[bool]]


def faults_of(seed: int, seconds: float) -> list[Fault]:
    """Workers again and again, and the broker once, in the middle."""
    workers = schedule(seed, seconds, {"worker": 1}, every_s=_EVERY_S)
    return sorted([*workers, Fault(seconds / 2, "broker", 0, 1.0)], key=lambda fault: fault.at_s)


async def _storm(send: Send, strike: Strike, *, tasks: int, seed: int, seconds: float) -> Tally:
    """What is not taken is offered again as another task, for as long as the storm lasts and somewhat longer."""
    tally, dice, began = Tally(), random.Random(seed), time.monotonic()

    async def submit() -> None:
        for number in range(tasks):
            await asyncio.sleep(max(began + number * seconds / tasks - time.monotonic(), 0.0))
            attempt = 0
            while time.monotonic() < began + seconds * _PATIENCE:
                if await send(task := f"t{seed}-{number}-{attempt}", dice.randrange(_TASK_MS)):
                    tally.accepted.add(task)
                    break
                attempt += 1
                await asyncio.sleep(0.2)

    async def rage() -> None:
        for fault in faults_of(seed, seconds):
            await asyncio.sleep(max(began + fault.at_s - time.monotonic(), 0.0))
            tally.kills += await strike(fault)

    async with asyncio.TaskGroup() as group:
        group.create_task(submit())
        group.create_task(rage())
    return tally


async def _rival(rival: Rival, *, tasks: int, seed: int, seconds: float) -> Tally:
    with tempfile.TemporaryDirectory(prefix="sutazai-rival-") as name, RabbitMQ() as broker:
        async with running(rival, broker, Path(name)) as here:

            async def strike(fault: Fault) -> bool:
                if fault.role == "worker":
                    return here.kill_worker(fault.which)
                await asyncio.to_thread(broker.kill)
                await asyncio.sleep(fault.away_s)
                await asyncio.to_thread(broker.start)
                return True

            await _first(here)
            tally = await _storm(here.send, strike, tasks=tasks, seed=seed, seconds=seconds)
            await _quiet(here, tally)
            return tally


async def _first(here: Running) -> None:
    """Nobody has to start under fire."""
    async with asyncio.timeout(60):
        while not await here.send("first", 0):
            await asyncio.sleep(0.2)
        while not here.effects():
            await asyncio.sleep(0.05)


async def _quiet(here: Running, tally: Tally) -> None:
    """Until all have had their effect, or nothing has happened for long; then for a while, for what comes twice."""
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < _QUIET_S:
        tally.calls = here.effects()
        count = sum(tally.calls.values())
        if count != seen:
            seen, since = count, time.monotonic()
        if tally.lost == 0 and time.monotonic() - since > 3:
            break
        await asyncio.sleep(0.2)


async def _ours(*, tasks: int, seed: int, seconds: float) -> tuple[Tally, dict[str, Target]]:
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(origin())
        environ = {"SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{outside.port}"}
        shape = Shape(workers=WORKERS, functions=False, environ=environ)
        here = await stack.enter_async_context(cluster(shape))
        client = await stack.enter_async_context(Client(here.apis[0]))
        ids: dict[str, str] = {}

        async def send(task: str, ms: int) -> bool:
            try:
                answer = await client.http.post("/api/v1/agents/execute", json=ledger(duration_ms=ms, url=outside.url))
            except httpx.TransportError:
                return False
            if answer.status_code == 202:
                ids[task] = str(answer.json()["data"]["task_id"])
            return answer.status_code == 202

        async def strike(fault: Fault) -> bool:
            if fault.role == "worker":
                return here.kill("worker", which=fault.which) is not None
            await here.kill_broker(away_s=fault.away_s)
            return True

        tally = await _storm(send, strike, tasks=tasks, seed=seed, seconds=seconds)
        await until_ended(here, list(ids.values()), since=time.monotonic(), within_s=60)
        tally.calls = {task: outside.calls[task_id] for task, task_id in ids.items() if task_id in outside.calls}
        found = await judged(here, list(ids.values()), outside, given_up=GIVEN_UP)
        return tally, {f"{OURS}: {name}": found[name] for name in _OURS}


async def _round(tasks: int, seed: int, seconds: float) -> tuple[dict[str, Tally], dict[str, Target]]:
    ours, found = await _ours(tasks=tasks, seed=seed, seconds=seconds)
    tallies = {OURS: ours}
    for rival in RIVALS:
        tallies[rival.name] = tally = await _rival(rival, tasks=tasks, seed=seed, seconds=seconds)
        print(f"{rival.name}: {len(tally.accepted)} accepted, {tally.lost} lost, {tally.repeated} again", flush=True)
    found |= {f"{OURS}: kills": at_least(ours.kills, 1), f"{OURS}: lost": exactly(ours.lost, 0)}
    return tallies, found


def _table(seed: int, tallies: dict[str, Tally]) -> None:
    print(f"\nseed {seed:<6} {'accepted':>9} {'kills':>6} {'lost':>6} {'repeated':>9}")
    for name, tally in tallies.items():
        counts = f"{len(tally.accepted):>9} {tally.kills:>6} {tally.lost:>6} {tally.repeated:>9}"
        print(f"{name:<11} {counts}", flush=True)


def main() -> int:
    given = asked(__doc__, tasks=800, seeds=1, minutes=4)
    seconds = max(given.seconds / len(given.seeds) / (len(RIVALS) + 1) - 30, 10)
    worst: Worst = {}
    for seed in given.seeds:
        tallies, found = asyncio.run(_round(given.tasks, seed, seconds))
        _table(seed, tallies)
        keep_worst(worst, found)
    return report("chaos-rivals", worst)


if __name__ == "__main__":
    sys.exit(main())
