"""The bus over RabbitMQ: wake-ups through its task queue, each consumer's events through a queue of its own."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractIncomingMessage

from events.base import Envelope
from events.tasks import TaskQueued
from events.topology import AGENTS, HIGHEST_PRIORITY, TASK_QUEUE, consumer_topology, queue_of, wake_up_key
from shared import cloud_events
from shared.deadline import to_its_end
from shared.errors import ConfigurationError, Invalid, Unavailable
from shared.ports.bus import Handle, WakeUp
from shared.ports.dead_letters import DeadLetters
from shared.stores.postgres.consumers import Consumers
from shared.stores.postgres.events import envelope_of
from shared.stores.rabbitmq.link import Link, Outgoing, acknowledge, declare, deliveries
from shared.stores.rabbitmq.messages import event_of, message_of, seq_of
from shared.stores.rabbitmq.relay import Relay, overtaken

logger = logging.getLogger("sutazai.bus")

ATTEMPTS = 5
_BACK_OFF_S = 0.25
_RECONNECT_S = 0.5
_PREFETCH = 64
# Busy processes that tell one another would be heard by nobody else.
_PASS_ON_S = 0.25
# What a handler may still take once its process is told to stop.
DRAIN_S = 5.0


class RabbitBus:
    """Wake-ups are acknowledged when they are noted, events when they are done with."""

    def __init__(self, *, link: Link, relay: Relay, consumers: Consumers, dead_letters: DeadLetters) -> None:
        self._link = link
        self._relay = relay
        self._consumers = consumers
        self._dead_letters = dead_letters
        self._hearers: list[tuple[Collection[str], Callable[[WakeUp], None]]] = []
        self._listening: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._passed_on_at: dict[str, float] = {}

    async def wake(self, wake_ups: Sequence[WakeUp]) -> None:
        await self._link.publish([_outgoing(wake_up) for wake_up in wake_ups])

    async def relay(self) -> None:
        await self._relay.carry()

    async def make_up(self) -> None:
        await self._relay.make_up()
        await self._relay.carry()
        await self._relay.sweep()

    @asynccontextmanager
    async def waking(self, agents: Collection[str], heard: Callable[[WakeUp], None]) -> AsyncIterator[None]:
        """The task queue is shared by all processes; within one, a wake-up reaches all who listen for its agent."""
        hearer = (agents, heard)
        self._hearers.append(hearer)
        if self._listening is None:
            self._tried.clear()
            self._listening = asyncio.create_task(self._again("wake-ups", self._hear_wake_ups))
        try:
            await self._tried.wait()
            yield
        finally:
            self._hearers.remove(hearer)
            if not self._hearers:
                self._listening.cancel()
                await asyncio.gather(self._listening, return_exceptions=True)
                self._listening = None

    async def _hear_wake_ups(self) -> None:
        try:
            await self._hear_from_now_on()
        except Unavailable:
            # While nobody can be woken, whoever runs looks for work by itself.
            self._tell_all()
            raise
        finally:
            self._tried.set()

    async def _hear_from_now_on(self) -> None:
        async with self._link.channel(prefetch=_PREFETCH) as channel:
            # Wake-ups may have been lost while nobody listened.
            self._tell_all()
            self._tried.set()
            async for message in deliveries(channel, TASK_QUEUE):
                await self._note(message)
                await acknowledge(message)

    def _tell_all(self) -> None:
        for agents, heard in self._hearers:
            for agent in agents:
                heard(WakeUp(agent, 1))

    async def _note(self, message: AbstractIncomingMessage) -> None:
        try:
            wake_up = _wake_up(event_of(message))
        except Invalid as exc:
            await self._unreadable(TASK_QUEUE, message, exc)
            return
        hearers = [heard for agents, heard in self._hearers if wake_up.agent in agents]
        for heard in hearers:
            heard(wake_up)
        if not hearers:
            logger.warning("nobody here serves the agent %r", wake_up.agent)

    async def pass_on(self, agent: str) -> None:
        """The queue gives each wake-up to one process, and the next one to another."""
        now = time.monotonic()
        if now - self._passed_on_at.get(agent, float("-inf")) >= _PASS_ON_S:
            self._passed_on_at[agent] = now
            with suppress(Unavailable):
                await self.wake([WakeUp(agent, 1)])

    async def consume(self, consumer: str, type: str, handle: Handle) -> None:
        await self._again(consumer, lambda: self._consume(consumer, type, handle))

    async def _again(self, name: str, listen: Callable[[], Awaitable[None]]) -> None:
        """A reconnect loop of our own: one that heals unseen would also hide what was lost."""
        while True:
            try:
                await listen()
            except Unavailable as exc:
                logger.info("%s: %s", name, exc)
            except ConfigurationError:
                logger.exception("%s cannot be consumed", name)
            await asyncio.sleep(_RECONNECT_S)

    async def _consume(self, consumer: str, type: str, handle: Handle) -> None:
        async with self._link.channel(prefetch=_PREFETCH) as channel:
            await declare(channel, consumer_topology(consumer, self._link.profile))
            # Whoever is registered is carried to, and without a queue to carry to that is lost.
            await self._consumers.register(consumer, type)
            async for message in deliveries(channel, queue_of(consumer)):
                while not await to_its_end(self._take(consumer, handle, message), within_s=DRAIN_S):
                    if channel.is_closed:
                        raise Unavailable("it may be another replica's turn")

    async def _take(self, consumer: str, handle: Handle, message: AbstractIncomingMessage) -> bool:
        """Whether it is done with. False: the first of those that came before it and were lost is, and it is not yet.

        Raises Unavailable when the message must stay where it is.
        """
        progress, seq = await self._consumers.progress(consumer), seq_of(message)
        if seq is not None and (lost := await overtaken(self._consumers, progress, seq)):
            await self._handle(consumer, handle, envelope_of(lost), progress.attempts)
            await self._consumers.finished(consumer, lost["seq"])
            return False
        if seq is None or seq > progress.done:
            try:
                event = event_of(message)
            except Invalid as exc:
                await self._unreadable(consumer, message, exc)
            else:
                await self._handle(consumer, handle, event, progress.attempts)
            if seq is not None:
                await self._consumers.finished(consumer, seq)
        await acknowledge(message)
        return True

    async def _handle(self, consumer: str, handle: Handle, event: Envelope, attempts: int) -> None:
        """Attempts are counted in the record, so an outage of the record itself uses none up."""
        while True:
            try:
                return await handle(event)
            except Unavailable as exc:
                attempts += 1
                if attempts >= ATTEMPTS:
                    return await self._dead_letters.refuse(
                        consumer, event, reason="attempts", error=str(exc), attempts=attempts
                    )
            await self._consumers.failed(consumer, attempts)
            await asyncio.sleep(_BACK_OFF_S * 2.0**attempts)

    async def _unreadable(self, where: str, message: AbstractIncomingMessage, exc: Invalid) -> None:
        logger.warning("%s holds what is no event: %s", where, exc.message)
        await self._dead_letters.unreadable(
            where, message.body, content_type=message.content_type or "", error=exc.message
        )


def _outgoing(wake_up: WakeUp) -> Outgoing:
    event = cloud_events.envelope(
        TaskQueued(agent=wake_up.agent, wanted=wake_up.wanted),
        source="/functions/keep",
        subject=wake_up.agent,
        agent=wake_up.agent,
    )
    priority = min(wake_up.priority, HIGHEST_PRIORITY)
    return Outgoing(AGENTS, wake_up_key(wake_up.agent), message_of(event, priority=priority))


def _wake_up(event: Envelope) -> WakeUp:
    """Raises Invalid."""
    if event.type != TaskQueued.type:
        raise Invalid(f"the task queue holds wake-ups, not {event.type!r}")
    try:
        queued = TaskQueued.model_validate(event.data)
    except ValueError:
        raise Invalid("a wake-up names an agent and how many are wanted") from None
    return WakeUp(queued.agent, queued.wanted)
