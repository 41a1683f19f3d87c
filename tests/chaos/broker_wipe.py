"""`make chaos C=broker-wipe`: RabbitMQ is killed and comes back with nothing it knew, again and again, under load."""

import asyncio
import random
import sys
from functools import partial

import aio_pika
from aio_pika.exceptions import ChannelNotFoundEntity

from tests.chaos._cluster import Cluster, Shape
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.report import Target, at_least, exactly, report

_WIPES = 3
_MARK = "chaos.mark"


async def faults(here: Cluster, load: Load, *, seed: int) -> dict[str, Target]:
    """Wiped together with whoever would have remembered what it held."""
    dice, wipes = random.Random(seed), 0
    for _ in range(_WIPES):
        await _mark(here)
        before = len(load.ids)
        beside = dice.choice(["keeper", "connector", "worker", "nobody"])
        wiping = asyncio.create_task(here.kill_broker(away_s=dice.uniform(0, 4), wiped=True))
        await asyncio.sleep(dice.uniform(0, 1))
        if beside != "nobody":
            here.kill(beside)
        await wiping
        wipes += await _forgotten(here)
        print(f"wiped, {beside} killed beside it, {len(load.ids) - before} accepted meanwhile")
        await asyncio.sleep(dice.uniform(0.5, 2))
    return {
        "wipes": at_least(wipes, _WIPES),
        "submissions refused": exactly(sum(load.refused.values()), 0),
    }


async def _mark(here: Cluster) -> None:
    """What only a wipe takes: a durable queue with a message that a restart would keep."""
    async with await aio_pika.connect(here.urls.amqp) as connection:
        channel = await connection.channel()
        await channel.declare_queue(_MARK, durable=True)
        message = aio_pika.Message(b"here", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, _MARK)


async def _forgotten(here: Cluster) -> bool:
    async with await aio_pika.connect(here.urls.amqp) as connection:
        channel = await connection.channel()
        try:
            await channel.declare_queue(_MARK, passive=True)
        except ChannelNotFoundEntity:
            return True
    return False


def main() -> int:
    given = asked(__doc__, seeds=2, minutes=4)
    worst: Worst = {}
    for seed in given.turns():
        keep_worst(worst, asyncio.run(under_load(Shape(), partial(faults, seed=seed))))
    return report("chaos-broker-wipe", worst)


if __name__ == "__main__":
    sys.exit(main())
