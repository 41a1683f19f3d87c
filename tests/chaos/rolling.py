"""`make chaos C=rolling`: each process is restarted in good order under load; no call fails twice."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos._cluster import Cluster, Shape, cluster
from tests.chaos._seeds import asked
from tests.chaos._work import judged, ledger, until_ended
from tests.report import Target, at_least, exactly, report
from tests.system.platform import Client

_CALLERS = 6
_ROLES = ("gateway", "worker", "keeper", "agent", "connector")
# As a gateway in front of several replicas does it: what is ready is called, what fails is called elsewhere, once.
_AGAIN = frozenset({502, 503, 504})


@dataclass
class Calls:
    ids: list[str] = field(default_factory=list)
    made: int = 0
    again: int = 0
    failed: list[str] = field(default_factory=list)


class Caller:
    def __init__(self, apis: Sequence[str], client: Client, calls: Calls) -> None:
        self._apis = apis
        self._http = client.http
        self._calls = calls
        self._turn = 0

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        self._turn += 1
        self._calls.made += 1
        why = ""
        for attempt in range(2):
            api = self._apis[(self._turn + attempt) % len(self._apis)]
            self._calls.again += attempt
            try:
                answer = await self._http.request(method, api + path, **more)
            except httpx.TransportError as exc:
                why = f"{method} {path}: {exc!r}"
                continue
            if answer.status_code not in _AGAIN:
                return answer
            why = f"{method} {path}: {answer.status_code}"
        self._calls.failed.append(why)
        return None

    async def go_on(self, number: int, over: asyncio.Event) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            key = {"Idempotency-Key": f"rolling-{number}-{turn}"}
            answer = await self.call("POST", "/api/v1/agents/execute", json=ledger(duration_ms=300), headers=key)
            if answer is not None and answer.status_code == 202:
                task_id = str(answer.json()["data"]["task_id"])
                self._calls.ids.append(task_id)
                read = await self.call("GET", f"/api/v1/tasks/{task_id}")
                if read is not None and read.status_code != 200:
                    self._calls.failed.append(f"GET: {read.status_code}")
            elif answer is not None:
                self._calls.failed.append(f"POST: {answer.status_code} {answer.text[:200]}")
            await asyncio.sleep(0.1)


async def restart(here: Cluster, role: str, which: int, *, within_s: float = 90) -> None:
    """SIGTERM, and on to the next once its successor answers, as a rolling update goes."""
    before = here.pids(role)
    gone = here.signal(role, signal.SIGTERM, which=which)
    async with asyncio.timeout(within_s):
        while gone in here.pids(role) or len(here.pids(role)) < len(before):
            await asyncio.sleep(0.05)
        await here.answering(role)


async def rolling(turns: Iterable[int], roles: Sequence[str] = _ROLES) -> dict[str, Target]:
    """All processes of the roles, in each turn."""
    async with cluster(Shape(gateways=2)) as here, Client(here.apis[0]) as client:
        calls, over, restarts, rounds = Calls(), asyncio.Event(), 0, 0
        async with asyncio.TaskGroup() as group:
            for number in range(_CALLERS):
                group.create_task(Caller(here.apis, client, calls).go_on(number, over))
            try:
                for _ in turns:
                    rounds += 1
                    for role in roles:
                        # Each has a place in the order of its role, which its successor takes.
                        for which in range(len(here.pids(role))):
                            await restart(here, role, which)
                            restarts += 1
            finally:
                over.set()
        over_s = await until_ended(here, calls.ids, since=time.monotonic(), within_s=60)
        async with here.record() as connection:
            losses = await connection.fetchval("SELECT coalesce(sum(losses), 0) FROM agent_executions")
        print(f"{calls.made} calls under {restarts} restarts, {calls.again} again; ended {over_s:.1f} s after the last")
        print(*calls.failed[:5], sep="\n")
        return {
            "restarts": at_least(restarts, rounds * sum(len(here.pids(role)) for role in roles)),
            "calls that failed twice": exactly(len(calls.failed), 0),
            "tasks that a restart took from a worker": exactly(losses, 0),
            **await judged(here, calls.ids),
        }


def main() -> int:
    return report("chaos-rolling", asyncio.run(rolling(asked(__doc__, seeds=1, minutes=4).turns())))


if __name__ == "__main__":
    sys.exit(main())
