"""`make chaos C=bindings`: the wake-ups' binding is gone, or their queue is another; it is told, and nothing is lost.

As an operator's mistake leaves it, under load: the keeper tells what cannot be delivered, whoever starts refuses what
is otherwise than declared, and once the mistake is undone all hear again.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed

from events.topology import AGENTS, TASK_QUEUE, wake_up_key
from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import asked
from tests.report import Target, at_least, at_most, exactly, report

_UNROUTED = "wake-ups without a queue bound for them"
_OTHERWISE = "RabbitMQ has something otherwise than it is declared here"
_TOLD_S = 15.0
_BACK_S = 30.0
_LISTENERS = ("worker-0", "worker-1", "connector")


@asynccontextmanager
async def _channel(here: Cluster) -> AsyncIterator[AbstractChannel]:
    async with await aio_pika.connect(here.urls.amqp) as connection:
        yield await connection.channel()


async def _told_s(here: Cluster, name: str, said: str, *, since: int) -> float:
    """After how many seconds the log says so; infinity where it does not."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _TOLD_S:
        if said in here.log(name)[since:]:
            return passed
        await asyncio.sleep(0.1)
    return float("inf")


async def _heard_s(here: Cluster) -> float:
    """After how many seconds all who are to hear wake-ups do so; infinity where they do not."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < _BACK_S:
        if await _hearing(here) == len(_LISTENERS):
            return passed
        await asyncio.sleep(0.2)
    return float("inf")


async def _hearing(here: Cluster) -> int:
    async with _channel(here) as channel:
        try:
            queue = await channel.declare_queue(TASK_QUEUE, passive=True)
        except ChannelNotFoundEntity:
            return 0
        return queue.declaration_result.consumer_count or 0


async def _binding_gone(here: Cluster, load: Load) -> dict[str, Target]:
    said, route, before = len(here.log("keeper")), wake_up_key("*"), len(load.ids)
    async with _channel(here) as channel:
        queue = await channel.get_queue(TASK_QUEUE, ensure=False)
        await queue.unbind(AGENTS, route)
        told_s = await _told_s(here, "keeper", _UNROUTED, since=said)
        meanwhile = len(load.ids) - before
        await queue.bind(AGENTS, route)
    return {
        "no binding: s until the keeper told": at_most(told_s, _TOLD_S),
        "no binding: accepted meanwhile": at_least(meanwhile, 1),
    }


async def _queue_otherwise(here: Cluster, load: Load) -> dict[str, Target]:
    """Of those that hear wake-ups two are started anew, as a rollout would, and one goes on."""
    said, before = {name: len(here.log(name)) for name in _LISTENERS}, len(load.ids)
    await _declared_otherwise(here)
    ended = [here.kill("worker", which=0), here.kill("connector")]
    refusals = [await _told_s(here, name, _OTHERWISE, since=said[name]) for name in ("worker-0", "connector")]
    meanwhile = len(load.ids) - before
    async with _channel(here) as channel:
        await channel.queue_delete(TASK_QUEUE)
    back_s = await _heard_s(here)
    return {
        "another queue: processes started anew": exactly(sum(pid is not None for pid in ended), 2),
        "another queue: s until both refused": at_most(max(refusals), _TOLD_S),
        "another queue: accepted meanwhile": at_least(meanwhile, 1),
        "another queue: s until all hear again": at_most(back_s, _BACK_S),
    }


async def _declared_otherwise(here: Cluster) -> None:
    """Whoever listened makes it again as it was: until this one is there first."""
    while True:
        async with _channel(here) as channel:
            await channel.queue_delete(TASK_QUEUE)
            try:
                await channel.declare_queue(TASK_QUEUE, durable=True, arguments={"x-message-ttl": 1})
            except ChannelPreconditionFailed:
                continue
            return


async def faults(here: Cluster, load: Load) -> dict[str, Target]:
    return {**await _binding_gone(here, load), **await _queue_otherwise(here, load)}


async def bindings() -> dict[str, Target]:
    return await under_load(Shape(), faults)


def main() -> int:
    asked(__doc__)
    return report("chaos-bindings", asyncio.run(bindings()))


if __name__ == "__main__":
    sys.exit(main())
