"""The connection to RabbitMQ: made again by whoever needs it, with everything declared that it is to find."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, cast

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelPreconditionFailed

from events.topology import Profile, Topology, topology
from shared.config import Settings
from shared.errors import ConfigurationError, Unavailable

logger = logging.getLogger("sutazai.rabbitmq")

CONNECT_S = 5.0
CONFIRM_S = 10.0
HEARTBEAT_S = 10
_LOOK_S = 10.0
IN_FLIGHT = 128


@contextmanager
def translated() -> Iterator[None]:
    """Raises Unavailable for what a later attempt may find mended.

    The driver cancels whoever waits on a connection that ends, and may answer a caller's cancellation with an error
    of its own, or swallow it: only the task knows whether it was cancelled.
    """
    try:
        yield
    # The driver's word for a connection that has ended is a plain RuntimeError.
    except (OSError, TimeoutError, AMQPError, RuntimeError, asyncio.CancelledError) as exc:
        if _cancelled():
            raise asyncio.CancelledError from exc
        raise Unavailable("RabbitMQ cannot be reached now") from exc
    if _cancelled():
        raise asyncio.CancelledError


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@dataclass(frozen=True, slots=True)
class Outgoing:
    exchange: str
    key: str
    message: aio_pika.Message


class Link:
    """One connection for the process. Raises ConfigurationError at the start where RabbitMQ has something otherwise."""

    def __init__(self, *, settings: Settings) -> None:
        self._url = settings.amqp_url
        self.profile = cast(Profile, settings.amqp_profile)
        self._connecting = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._publisher: AbstractChannel | None = None
        self._exchanges: dict[str, AbstractExchange] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._connected(refuse=True)
        except Unavailable:
            logger.warning("RabbitMQ cannot be reached yet; tasks are accepted and wait")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._drop()

    async def _drop(self) -> None:
        connection, self._connection, self._publisher = self._connection, None, None
        if connection is not None:
            with suppress(Unavailable), translated():
                async with asyncio.timeout(CONNECT_S):
                    await connection.close()

    @asynccontextmanager
    async def channel(self, *, prefetch: int) -> AsyncIterator[AbstractChannel]:
        """A channel to consume on. Raises Unavailable when it cannot be opened."""
        connection = await self._connected()
        with translated():
            channel = await connection.channel(publisher_confirms=False)
            await channel.set_qos(prefetch_count=prefetch)
        try:
            yield channel
        finally:
            with suppress(Unavailable), translated():
                async with asyncio.timeout(CONNECT_S):
                    await channel.close()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns once all are confirmed. Raises Unavailable, and then some may have been taken."""
        with translated():
            exchanges = {out.exchange: await self._exchange(out.exchange) for out in messages}
            for start in range(0, len(messages), IN_FLIGHT):
                sent = (
                    exchanges[out.exchange].publish(out.message, out.key, mandatory=False, timeout=CONFIRM_S)
                    for out in messages[start : start + IN_FLIGHT]
                )
                ended = await asyncio.gather(*sent, return_exceptions=True)
                if failed := next((end for end in ended if isinstance(end, BaseException)), None):
                    raise failed

    async def _exchange(self, name: str) -> AbstractExchange:
        connection = await self._connected()
        if self._publisher is None or self._publisher.is_closed:
            self._exchanges = {}
            self._publisher = await connection.channel(publisher_confirms=True)
            # The channel before may have ended because an exchange had been deleted.
            await declare(self._publisher, topology(self.profile))
        if name not in self._exchanges:
            self._exchanges[name] = await self._publisher.get_exchange(name, ensure=False)
        return self._exchanges[name]

    async def _connected(self, *, refuse: bool = False) -> AbstractConnection:
        async with self._connecting:
            # The driver calls a connection closed only once we have closed it.
            if self._connection is None or not self._connection.connected.is_set():
                await self._drop()
                try:
                    self._connection = await self._connect()
                except ConfigurationError as exc:
                    if refuse:
                        raise
                    logger.error("%s", exc)
                    raise Unavailable(str(exc)) from exc
            return self._connection

    async def _connect(self) -> AbstractConnection:
        with translated():
            connection = await aio_pika.connect(
                self._url,
                timeout=CONNECT_S,
                heartbeat=HEARTBEAT_S,
                client_properties={"connection_name": "sutazai"},
            )
            try:
                channel = await connection.channel(publisher_confirms=False)
                await declare(channel, topology(self.profile))
                await channel.close()
            except BaseException:
                await connection.close()
                raise
            return connection


async def deliveries(channel: AbstractChannel, queue_name: str) -> AsyncIterator[AbstractIncomingMessage]:
    """What the queue hands out. Raises Unavailable when the channel, or the queue, is gone."""
    received: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
    channel.close_callbacks.add(lambda *_: received.put_nowait(None))
    with translated():
        queue = await channel.get_queue(queue_name, ensure=False)
        # A queue that is deleted takes its consumers with it; whoever makes it again does not bring them back.
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _: received.put_nowait(None))
        consumer = await queue.consume(received.put)
    while True:
        try:
            async with asyncio.timeout(_LOOK_S):
                message = await received.get()
        except TimeoutError:
            # A broker that lost its queues with its memory says nothing, and one whose queue was deleted and made again
            # may have forgotten who consumed it without a word: only whoever consumes anew knows.
            with translated():
                await queue.cancel(consumer)
                consumer = await queue.consume(received.put)
            continue
        if message is None:
            raise Unavailable("the connection to RabbitMQ has ended, or the queue is gone")
        yield message


async def acknowledge(message: AbstractIncomingMessage) -> None:
    """Raises Unavailable where the channel has ended; the message then comes again."""
    with translated():
        await message.ack()


async def declare(channel: AbstractChannel, wanted: Topology) -> None:
    """Makes what is missing. Raises ConfigurationError where RabbitMQ has one of them with other arguments."""
    with translated():
        try:
            for exchange in wanted.exchanges:
                await channel.declare_exchange(
                    exchange.name, type=exchange.type, durable=True, arguments=_arguments(exchange.arguments)
                )
            for queue in wanted.queues:
                await channel.declare_queue(queue.name, durable=True, arguments=_arguments(queue.arguments))
            for binding in wanted.bindings:
                bound = await channel.get_queue(binding.queue, ensure=False)
                await bound.bind(binding.exchange, binding.key)
        except ChannelPreconditionFailed as exc:
            # The broker's own words name the thing, the argument, and both values.
            raise ConfigurationError(f"RabbitMQ has something otherwise than it is declared here: {exc}") from exc


def _arguments(arguments: Any) -> dict[str, Any] | None:
    return dict(arguments) or None
