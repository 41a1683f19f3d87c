"""A steady stream of tasks while something is done to the platform, and the frame that most faults share."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos._cluster import Cluster, Shape, Through, cluster, directly
from tests.chaos._work import judged, ledger, until_ended
from tests.report import Target, at_least, at_most, exactly
from tests.system.platform import Client

ALL_OVER_S = 15.0
_SENDERS = 8


@dataclass
class Load:
    ids: list[str] = field(default_factory=list)
    # By status, or by the transport's error: what was answered instead of 202.
    refused: dict[str, int] = field(default_factory=dict)
    slowest_s: float = 0.0

    def refuse(self, why: str) -> None:
        self.refused[why] = self.refused.get(why, 0) + 1


@asynccontextmanager
async def loaded(client: Client, *, every_s: float = 0.03, **parameters: Any) -> AsyncIterator[Load]:
    """Until the block ends; each is offered under one key until it is accepted, and none is left half-way."""
    load, over, number = Load(), asyncio.Event(), 0

    async def send() -> None:
        nonlocal number
        while not over.is_set():
            number += 1
            await _accepted(client, f"load-{id(load)}-{number}", load, ledger(duration_ms=20, **parameters))
            await asyncio.sleep(every_s * _SENDERS)

    async with asyncio.TaskGroup() as group:
        for _ in range(_SENDERS):
            group.create_task(send())
        try:
            yield load
        finally:
            over.set()


async def _accepted(client: Client, key: str, load: Load, asked: dict[str, Any]) -> None:
    while True:
        began = time.monotonic()
        try:
            answer = await client.http.post("/api/v1/agents/execute", json=asked, headers={"Idempotency-Key": key})
        except httpx.TransportError as exc:
            load.refuse(type(exc).__name__)
        else:
            load.slowest_s = max(load.slowest_s, time.monotonic() - began)
            if answer.status_code == 202:
                load.ids.append(str(answer.json()["data"]["task_id"]))
                return
            load.refuse(str(answer.status_code))
        await asyncio.sleep(0.1)


Faults = Callable[[Cluster, Load], Awaitable[dict[str, Target]]]


async def under_load(
    shape: Shape, faults: Faults, *, through: Through = directly, within_s: float = 90.0, **parameters: Any
) -> dict[str, Target]:
    """What the faults tell, and what must hold whatever they are: everything accepted ends, once, soon after them."""
    async with cluster(shape, through=through) as here, Client(here.apis[0]) as client:
        async with loaded(client, **parameters) as load:
            await asyncio.sleep(1)
            told = await faults(here, load)
            await asyncio.sleep(1)
        over_s = await until_ended(here, load.ids, since=time.monotonic(), within_s=within_s)
        print(f"{len(load.ids)} accepted, slowest {load.slowest_s:.2f} s; otherwise {load.refused}", flush=True)
        targets = {
            **told,
            "tasks accepted": at_least(len(load.ids), 1),
            # What cannot be done now is 503; this would say that nobody had thought of it.
            "answers of 500": exactly(load.refused.get("500", 0), 0),
            "seconds from the end to all ended": at_most(over_s, ALL_OVER_S),
            **await judged(here, load.ids),
        }
        if not all(target.holds for target in targets.values()):
            here.keep_logs()
        return targets
