"""Carries the record's events into RabbitMQ: the active keeper's half of the bus."""

import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity

from events.topology import CONSUMERS, DEAD_EVENTS, DEAD_WAKE_UPS, EVENTS, UNROUTED, queue_of
from shared.config import Settings
from shared.errors import Invalid, Unavailable
from shared.ports.dead_letters import DeadLetters
from shared.stores.postgres.consumers import Consumers, Progress
from shared.stores.postgres.events import envelope_of
from shared.stores.rabbitmq.link import Link, Outgoing, translated
from shared.stores.rabbitmq.messages import event_of, message_of, seq_of

logger = logging.getLogger("sutazai.rabbitmq")

_BATCH = 500
# A consumer that has not moved for so long, with an empty queue before it, is carried to again.
STALLED_S = 5.0
_LONGEST_S = 300.0
_SWEEP = 1000
_ALARMS = {UNROUTED: "wake-ups without a queue bound for them", DEAD_WAKE_UPS: "wake-ups that nobody took"}
# What stands for the exchange that the outside binds to, among the consumers.
_OUTSIDE = "*"


@dataclass(slots=True)
class _Watched:
    done: int
    since: float
    patience_s: float


class Relay:
    def __init__(self, *, link: Link, consumers: Consumers, dead_letters: DeadLetters, settings: Settings) -> None:
        self._link = link
        self._consumers = consumers
        self._dead_letters = dead_letters
        self._outside = settings.event_types
        self._watched: dict[str, _Watched] = {}

    async def carry(self) -> None:
        """Everything numbered, to whoever has not got it yet: those who are equally far together."""
        if self._outside:
            await self._consumers.register(_OUTSIDE, "")
        newest = await self._consumers.newest()
        groups: defaultdict[int, list[Progress]] = defaultdict(list)
        for consumer in await self._consumers.all():
            if consumer.carried < newest and (consumer.name != _OUTSIDE or self._outside):
                groups[consumer.carried].append(consumer)
        for after, group in sorted(groups.items()):
            await self._carry_to(group, after, newest)

    async def _carry_to(self, group: Sequence[Progress], after: int, newest: int) -> None:
        names = [consumer.name for consumer in group]
        types = {consumer.type for consumer in group if consumer.type}
        outside = sorted(self._outside) if _OUTSIDE in names else []
        while after < newest:
            rows = await self._consumers.events(
                after=after, upto=newest, types=sorted(types), names=names, outside=outside, limit=_BATCH
            )
            await self._link.publish([out for row in rows for out in self._addressed(row, group)])
            after = rows[-1]["seq"] if len(rows) == _BATCH else newest
            await self._consumers.carried(names, after)

    def _addressed(self, row: Any, group: Sequence[Progress]) -> list[Outgoing]:
        message = message_of(envelope_of(row), seq=row["seq"])
        only = row["consumer"]
        out = [
            Outgoing(CONSUMERS, consumer.name, message)
            for consumer in group
            if consumer.name == only or (only is None and consumer.type == row["type"])
        ]
        outside = any(consumer.name == _OUTSIDE for consumer in group)
        # There events go by their type alone: what is sent again to one comes to all who want the type, and they know
        # its id.
        if outside and row["type"] in self._outside:
            out.append(Outgoing(EVENTS, row["type"], message))
        return out

    async def make_up(self) -> None:
        """Carries again what a queue has lost: a broker that was wiped, a queue that was not there yet."""
        await self._consumers.idle()
        now = time.monotonic()
        for consumer in await self._consumers.all():
            if consumer.name == _OUTSIDE or consumer.done >= consumer.carried:
                self._watched.pop(consumer.name, None)
                continue
            watched = self._watched.get(consumer.name)
            if watched is None or watched.done != consumer.done:
                self._watched[consumer.name] = _Watched(consumer.done, now, STALLED_S)
            elif now - watched.since >= watched.patience_s and await self._has_nothing_before_it(consumer.name):
                logger.warning("%s is carried again what comes after %d", consumer.name, consumer.done)
                await self._consumers.carry_again(consumer.name)
                # It may only be slow: what it holds already comes a second time, so ever more rarely.
                watched.since, watched.patience_s = now, min(watched.patience_s * 2, _LONGEST_S)

    async def _has_nothing_before_it(self, name: str) -> bool:
        try:
            async with self._link.channel(prefetch=1) as channel:
                with translated():
                    queue = await channel.declare_queue(queue_of(name), passive=True)
                    return not queue.declaration_result.message_count
        except Unavailable as exc:
            if isinstance(exc.__cause__, ChannelNotFoundEntity):
                return True
            raise

    async def sweep(self) -> None:
        """Takes what could not be delivered: of a wake-up nothing is lost, an event becomes a dead letter."""
        async with self._link.channel(prefetch=1) as channel:
            for name, alarm in _ALARMS.items():
                if keys := Counter([message.routing_key async for message in _ready(channel, name)]):
                    logger.warning("%s: %s", alarm, dict(keys))
            async for message in _ready(channel, DEAD_EVENTS):
                await self._refuse(message)

    async def _refuse(self, message: AbstractIncomingMessage) -> None:
        consumer = message.routing_key or "?"
        progress, seq = await self._consumers.progress(consumer), seq_of(message)
        if seq is not None and (seq <= progress.done or await overtaken(self._consumers, progress, seq)):
            # It has been handled, or is to be once what comes before it is.
            return
        logger.warning("an event left the queue of %s unhandled", consumer)
        try:
            event = event_of(message)
        except Invalid as exc:
            await self._dead_letters.unreadable(
                consumer, message.body, content_type=message.content_type or "", error=exc.message
            )
        else:
            error = "the broker took it from the consumer's queue"
            await self._dead_letters.refuse(consumer, event, reason="attempts", error=error)
        if seq is not None:
            await self._consumers.finished(consumer, seq)


async def overtaken(consumers: Consumers, progress: Progress, seq: int) -> Any:
    """The row of the first event before this one that the consumer is to get and has not done, or None."""
    if progress.type is None or seq <= progress.done + 1:
        return None
    rows = await consumers.events(
        after=progress.done, upto=seq - 1, types=[progress.type], names=[progress.name], outside=[], limit=1
    )
    return rows[0] if rows else None


async def _ready(channel: AbstractChannel, queue_name: str) -> AsyncIterator[AbstractIncomingMessage]:
    """What lies there now, each acknowledged once it is dealt with."""
    with translated():
        queue = await channel.get_queue(queue_name, ensure=False)
        for _ in range(_SWEEP):
            message = await queue.get(fail=False)
            if message is None:
                return
            yield message
            await message.ack()
