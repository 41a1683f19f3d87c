"""A steady stream of tasks while something is done to the platform, and the frame that most faults share."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tests.chaos._cluster import Cluster, Shape, Through, cluster, directly
from tests.chaos._work import ALL_OVER_S, judged, ledger, until_ended
from tests.ledger_origin import origin
from tests.report import Target, at_least, at_most, exactly
from tests.system.platform import Client

_SENDERS = 8


@dataclass
class Load:
    """`others`: tasks that were accepted too, and leave no effect."""

    ids: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
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
    shape: Shape, faults: Faults, *, through: Through = directly, afterwards: Faults | None = None, runs: int = 1
) -> dict[str, Target]:
    """What the faults tell, and what must hold whatever they are: everything accepted ends, once, soon after them.

    `afterwards` tells what can only be seen then; `runs`: as `judged` takes it.
    """
    async with AsyncExitStack() as stack:
        outside = await stack.enter_async_context(origin())
        allowed = {"SUTAZAI_EGRESS_ALLOW": f"127.0.0.1:{outside.port}"}
        shape = replace(shape, environ={**shape.environ, **allowed})
        here = await stack.enter_async_context(cluster(shape, through=through))
        client = await stack.enter_async_context(Client(here.apis[0]))
        async with loaded(client, url=outside.url) as load:
            await asyncio.sleep(1)
            told = await faults(here, load)
            await asyncio.sleep(1)
        over_s = await until_ended(here, [*load.ids, *load.others], since=time.monotonic())
        print(f"{len(load.ids)} accepted, slowest {load.slowest_s:.2f} s; otherwise {load.refused}", flush=True)
        targets = {
            **told,
            "tasks accepted": at_least(len(load.ids), 1),
            # What cannot be done now is 503; this would say that nobody had thought of it.
            "answers of 500": exactly(load.refused.get("500", 0), 0),
            "seconds from the end to all ended": at_most(over_s, ALL_OVER_S),
            **await judged(here, load.ids, outside, others=load.others, runs=runs),
        }
        if afterwards is not None:
            targets |= await afterwards(here, load)
        if not all(target.holds for target in targets.values()):
            here.keep_logs()
        return targets
