"""`make chaos C=confirms`: the link to RabbitMQ is cut between a publish and its confirm, again and again, under load.

N: confirms that are lost. Whoever published cannot know that it was taken, and publishes again.
"""

import asyncio
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import aio_pika

from events.tasks import TaskSucceeded
from events.topology import outside_topology, queue_of, topology
from shared.stores.rabbitmq.link import declare
from shared.stores.rabbitmq.messages import event_of
from tests.chaos._cluster import Cluster, Shape, Urls
from tests.chaos._links import Links
from tests.chaos._load import Load, under_load
from tests.chaos._seeds import Worst, asked, keep_worst
from tests.report import Target, at_least, exactly, report

_LISTENER = "chaos"
# A frame of one method, basic.ack, in any channel: from a server it confirms.
_CONFIRM = re.compile(rb"\x01..\x00\x00\x00\x0d\x00\x3c\x00\x50", re.DOTALL)
_WITHIN_S = 15.0


def _confirms(piece: bytes) -> bool:
    return _CONFIRM.search(piece) is not None


@asynccontextmanager
async def _heard(links: Links, urls: Urls) -> AsyncIterator[Urls]:
    """Through the proxy; and what the outside is told of is kept for it from the beginning."""
    async with await aio_pika.connect(urls.amqp) as connection, links.through(urls) as within:
        channel = await connection.channel()
        await declare(channel, topology("classic"))
        await declare(channel, outside_topology(_LISTENER, [TaskSucceeded.type], "classic"))
        yield within


async def faults(here: Cluster, load: Load, *, links: Links, seed: int, count: int) -> dict[str, Target]:
    """In rows of one to three: what is published again may lose its confirm again."""
    dice, link = random.Random(seed), links.proxies["amqp"]
    until = time.monotonic() + count * _WITHIN_S
    while link.met < count and time.monotonic() < until:
        row = min(link.met + dice.randint(1, 3), count)
        link.cut_at = _confirms
        while link.met < row and time.monotonic() < until:
            await asyncio.sleep(0.01)
        link.heal()
        await asyncio.sleep(dice.uniform(0.0, 0.5))
    return {
        "confirms lost": at_least(link.met, count),
        "submissions refused": exactly(sum(load.refused.values()), 0),
    }


async def _told(here: Cluster, load: Load) -> dict[str, Target]:
    """What came to whoever listens outside, once all of it can be there; of each end one event, however often."""
    came: defaultdict[str, set[str]] = defaultdict(set)
    copies, missing, until = 0, set(load.ids), time.monotonic() + _WITHIN_S
    async with await aio_pika.connect(here.urls.amqp) as connection:
        queue = await (await connection.channel()).get_queue(queue_of(_LISTENER), ensure=False)
        while time.monotonic() < until:
            message = await queue.get(no_ack=True, fail=False)
            if message is not None:
                copies += 1
                event = event_of(message)
                came[str(event.subject)].add(event.id)
            elif missing <= came.keys():
                break
            else:
                await asyncio.sleep(0.1)
    print(f"{len(came)} ends were told outside, in {copies} messages")
    return {
        "ends that nobody was told of": exactly(len(missing - came.keys()), 0),
        "ends told as two events": exactly(sum(len(ids) > 1 for ids in came.values()), 0),
    }


async def confirms(seed: int, count: int) -> dict[str, Target]:
    links = Links()
    play = partial(faults, links=links, seed=seed, count=count)
    shape = Shape(environ={"SUTAZAI_EVENT_TYPES": TaskSucceeded.type})
    return await under_load(shape, play, through=partial(_heard, links), afterwards=_told)


def main() -> int:
    given = asked(__doc__, tasks=60, seeds=1, minutes=4)
    worst: Worst = {}
    for seed in given.turns():
        keep_worst(worst, asyncio.run(confirms(seed, given.tasks)))
    return report("chaos-confirms", worst)


if __name__ == "__main__":
    sys.exit(main())
