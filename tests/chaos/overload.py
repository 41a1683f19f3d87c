"""`make chaos C=overload`: more than can be done is asked for; memory stays, the excess is refused, nothing is lost."""

import asyncio
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.chaos._cluster import Cluster, Shape, cluster
from tests.chaos._seeds import asked
from tests.chaos._work import judged, ledger, until_ended
from tests.report import Target, at_least, at_most, exactly, report
from tests.system.platform import Client

_CALLERS = 32
_BATCH = 50
_TASK_MS = 50
# Of the time: the rest is for what was accepted to be worked off.
_PRESSED = 1 / 4
_MOST_WAITING = 2000
# The bound is looked at once a second, so what a second brings may come on top of it.
_WAITING_AT_MOST = 3 * _MOST_WAITING
_GROWN_MIB = 150.0
_START_S = 20.0
_ROLES = ("gateway", "keeper", "worker")


@dataclass
class Answers:
    ids: list[str] = field(default_factory=list)
    refused: int = 0
    without_retry_after: int = 0
    others: dict[str, int] = field(default_factory=dict)
    most_waiting: int = 0


def _resident_mib(here: Cluster) -> dict[int, float]:
    found = {}
    for pid in (pid for role in _ROLES for pid in here.pids(role)):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        found[pid] = pages * 4096 / 2**20
    return found


async def _press(client: Client, answers: Answers, batches: int, until: float) -> None:
    """Nobody waits to be told that there is room again."""
    asked_for = {"tasks": [ledger(duration_ms=_TASK_MS) for _ in range(_BATCH)]}

    async def caller() -> None:
        nonlocal batches
        while batches > 0 and time.monotonic() < until:
            batches -= 1
            try:
                answer = await client.http.post("/api/v1/agents/execute", json=asked_for)
            except httpx.TransportError as exc:
                answers.others[type(exc).__name__] = answers.others.get(type(exc).__name__, 0) + 1
                continue
            if answer.status_code == 202:
                answers.ids += [str(one["task_id"]) for one in answer.json()["data"]["tasks"]]
            elif answer.status_code == 429:
                answers.refused += 1
                answers.without_retry_after += "retry-after" not in answer.headers
            else:
                name = str(answer.status_code)
                answers.others[name] = answers.others.get(name, 0) + 1

    await asyncio.gather(*(caller() for _ in range(_CALLERS)))


async def overload(tasks: int, seconds: float) -> dict[str, Target]:
    environ = {"SUTAZAI_MAX_QUEUED_PER_USER": str(_MOST_WAITING), "SUTAZAI_WORKER_TASKS": "4"}
    shape = Shape(workers=1, functions=False, environ=environ)
    async with cluster(shape) as here, Client(here.apis[0]) as client:
        answers = Answers()
        before = _resident_mib(here)
        most: dict[int, float] = dict(before)
        pressing = asyncio.create_task(_press(client, answers, tasks // _BATCH, time.monotonic() + seconds * _PRESSED))
        async with here.record() as connection:
            while not pressing.done():
                waiting = await connection.fetchval("SELECT count(*) FROM agent_executions WHERE status = 'queued'")
                answers.most_waiting = max(answers.most_waiting, waiting)
                for pid, mib in _resident_mib(here).items():
                    most[pid] = max(most.get(pid, 0.0), mib)
                await asyncio.sleep(0.2)
            await pressing
        over_s = await until_ended(here, answers.ids, since=time.monotonic(), within_s=seconds * (1 - _PRESSED))
        grown = max(most[pid] - mib for pid, mib in before.items())
        print(f"{len(answers.ids)} accepted, {answers.refused * _BATCH} refused; worked off in {over_s:.0f} s")
        return {
            "tasks refused with 429": at_least(answers.refused * _BATCH, 1),
            "refusals without Retry-After": exactly(answers.without_retry_after, 0),
            "other answers": exactly(sum(answers.others.values()), 0),
            "most that waited at once": at_most(answers.most_waiting, _WAITING_AT_MOST),
            "MiB that a process grew by": at_most(grown, _GROWN_MIB),
            "processes that ended": exactly(sum(not Path(f"/proc/{pid}").exists() for pid in before), 0),
            **await judged(here, answers.ids),
        }


def main() -> int:
    given = asked(__doc__, tasks=20_000, minutes=4)
    return report("chaos-overload", asyncio.run(overload(given.tasks, given.seconds - _START_S)))


if __name__ == "__main__":
    sys.exit(main())
