"""The suite of tests/contract/bus.py, on RabbitMQ."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.channel import Channel

from events.base import Envelope, Event
from events.topology import CONSUMERS, DEAD_EVENTS, TASK_QUEUE, Topology, queue_of
from shared.config import Settings
from shared.errors import Unavailable
from shared.ports.bus import Bus, WakeUp
from shared.ports.upkeep import Upkeep
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import record_event
from shared.stores.rabbitmq import bus as rabbitmq_bus
from shared.stores.rabbitmq import link, relay
from shared.stores.rabbitmq.link import Link, declare, deliveries
from shared.wiring import Ports
from tests.contract.bus import *  # noqa: F403
from tests.contract.bus import Consuming, Fell, Heard, OpenBus, Rang
from tests.rabbitmq import RabbitMQ


@dataclass(frozen=True)
class _Replica:
    bus: Bus
    ports: Ports
    upkeep: Upkeep
    database: Database
    broker: RabbitMQ

    async def happen(self, *events: Event) -> None:
        async with self.database.transaction() as connection:
            for event in events:
                await record_event(connection, event, source="/functions/ring", subject="bell", user_id=None)

    async def carry(self) -> None:
        """Once what the active keeper does when something has happened."""
        await self.upkeep.number()
        await self.bus.relay()

    async def keep(self) -> None:
        """What the active keeper does, only more often."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.carry()
                await self.bus.make_up()
            await asyncio.sleep(0.02)

    async def dead_letters(self) -> list[dict[str, Any]]:
        columns = "reason, consumer, event, attempts, error"
        rows = await self.database.fetch(f"SELECT {columns} FROM dead_letters ORDER BY at")
        return [dict(row) for row in rows]

    async def cut(self) -> None:
        closed = 'rabbit_networking:close_all_connections(<<"cut by a test">>).'
        await asyncio.to_thread(self.broker.evaluate, closed)


OpenReplica = Callable[[], AbstractAsyncContextManager[_Replica]]


@pytest.fixture(params=["classic", "quorum"])
def open_replica(
    settings: Settings,
    broker: RabbitMQ,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> OpenReplica:
    """No keeper runs."""
    monkeypatch.setattr(rabbitmq_bus, "_BACK_OFF_S", 0.01)
    monkeypatch.setattr(rabbitmq_bus, "_RECONNECT_S", 0.05)
    monkeypatch.setattr(rabbitmq_bus, "DRAIN_S", 0.1)

    @asynccontextmanager
    async def opened() -> AsyncIterator[_Replica]:
        async with Ports(replace(settings, amqp_url=amqp_url, amqp_profile=request.param)) as ports:
            database = await ports.open(Database)
            yield _Replica(await ports.open(Bus), ports, await ports.open(Upkeep), database, broker)

    return opened


@pytest.fixture
def open_bus(open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch) -> OpenBus:
    monkeypatch.setattr(relay, "STALLED_S", 0.2)

    keepers: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[_Replica]:
        async with open_replica() as replica:
            # Only one is active.
            keepers.extend([] if keepers else [asyncio.create_task(replica.keep())])
            try:
                yield replica
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)

    return opened


def test_whoever_serves_an_agent_looks_for_work_while_there_is_no_broker(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq_bus, "_RECONNECT_S", 0.01)

    async def scenario() -> None:
        heard: asyncio.Queue[WakeUp] = asyncio.Queue()
        async with Ports(replace(settings, amqp_url="amqp://127.0.0.1:1/")) as ports:
            bus = await ports.open(Bus)
            async with asyncio.timeout(30), bus.waking(["echo"], heard.put_nowait):
                assert [await heard.get() for _ in range(3)] == [WakeUp("echo", 1)] * 3

    asyncio.run(scenario())


def _play(open_replica: OpenReplica, scenario: Callable[[_Replica], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30), open_replica() as replica:
            await scenario(replica)

    asyncio.run(bounded())


@dataclass(frozen=True)
class _Host:
    """The virtual host of a test."""

    broker: RabbitMQ
    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).path[1:]

    async def wipe(self) -> None:
        await asyncio.to_thread(self.broker.delete_vhost, self.name)

    async def restore(self) -> None:
        host, user = f'<<"{self.name}">>', f'<<"{urlsplit(self.url).username}">>'
        rights = f'{user}, {host}, <<".*">>, <<".*">>, <<".*">>, <<"tests">>'
        added = f'rabbit_vhost:add({host}, <<"tests">>), rabbit_auth_backend_internal:set_permissions({rights}).'
        await asyncio.to_thread(self.broker.evaluate, added)

    async def carries_to(self, consumer: str) -> bool:
        """Its queue is bound: before that, what is sent to it goes nowhere."""
        named = f'rabbit_misc:r(<<"{self.name}">>, exchange, <<"{CONSUMERS}">>)'
        queue = f'rabbit_misc:r(<<"{self.name}">>, queue, <<"{queue_of(consumer)}">>)'
        bound = f"rabbit_binding:list_for_source_and_destination({named}, {queue}) =/= []."
        return await asyncio.to_thread(self.broker.evaluate, bound) == "true"

    async def take(self, consumer: str, *, lost: int = 0, dead: int = 0) -> None:
        """From the head of its queue: so many without a trace, and the next ones as a broker does that gives up."""
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(queue_of(consumer), ensure=False)
            async with queue.iterator() as messages:
                for _ in range(lost):
                    await (await anext(messages)).ack()
                for _ in range(dead):
                    await (await anext(messages)).reject()
            while (await channel.declare_queue(DEAD_EVENTS, passive=True)).declaration_result.message_count != dead:
                await asyncio.sleep(0.02)


async def _registered(replica: _Replica) -> bool:
    return bool(await replica.database.fetchval("SELECT EXISTS (SELECT FROM consumers WHERE name = 'listener')"))


async def _ready(replica: _Replica, host: _Host) -> None:
    while not (await _registered(replica) and await host.carries_to("listener")):
        await asyncio.sleep(0.02)


@pytest.fixture
def host(broker: RabbitMQ, amqp_url: str) -> _Host:
    return _Host(broker, amqp_url)


def test_what_a_wiped_broker_held_is_handled_before_what_happened_in_the_outage(
    open_replica: OpenReplica, host: _Host
) -> None:
    async def scenario(replica: _Replica) -> None:
        heard = Heard()
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await _ready(replica, host)
            await replica.happen(*(Rang(number=n) for n in range(5)), Fell())
            await replica.carry()
            await heard.until(lambda numbers: 4 in numbers)
        await replica.happen(*(Rang(number=n) for n in range(5, 25)), Fell())
        await replica.carry()
        await host.wipe()
        await replica.happen(Rang(number=25), Fell())
        await host.restore()
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await _ready(replica, host)
            await replica.carry()
            await heard.until(lambda numbers: 25 in numbers)
            await replica.happen(Rang(number=26))
            await replica.carry()
            await heard.until(lambda numbers: 26 in numbers)
        assert heard.numbers == list(range(27))
        assert await replica.dead_letters() == []

    _play(open_replica, scenario)


def test_what_was_lost_has_its_attempts_and_may_become_a_dead_letter(open_replica: OpenReplica, host: _Host) -> None:
    async def scenario(replica: _Replica) -> None:
        heard = Heard({1: [Unavailable("away") for _ in range(9)], 2: [Unavailable("away")]})
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await _ready(replica, host)
        await replica.happen(*(Rang(number=n) for n in range(4)))
        await replica.carry()
        await host.wipe()
        await host.restore()
        await replica.happen(Rang(number=4))
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await _ready(replica, host)
            await replica.carry()
            await heard.until(lambda numbers: 4 in numbers)
        assert heard.numbers == [0, 1, 1, 1, 1, 1, 2, 2, 3, 4]
        [letter] = await replica.dead_letters()
        assert (letter["reason"], letter["event"]["data"], letter["attempts"]) == ("attempts", {"number": 1}, 5)

    _play(open_replica, scenario)


def test_whoever_is_cut_off_goes_on_with_what_was_lost_only_in_its_next_turn(
    open_replica: OpenReplica, host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(replica: _Replica) -> None:
        heard, turns = Heard(), list[list[int]]()

        async def note(channel: AbstractChannel, wanted: Topology) -> None:
            turns.append(list(heard.numbers))
            await declare(channel, wanted)

        async def be_cut_off_at_the_second(event: Envelope) -> None:
            await heard(event)
            if heard.numbers == [0, 1]:
                await replica.cut()
                # Over the same connection: by now it is known to be gone.
                with contextlib.suppress(Unavailable):
                    await replica.bus.wake([WakeUp("echo", 1)])

        monkeypatch.setattr(rabbitmq_bus, "declare", note)
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await _ready(replica, host)
        await replica.happen(*(Rang(number=n) for n in range(6)))
        await replica.carry()
        await host.take("listener", lost=5)
        turns.clear()
        async with Consuming() as consuming:
            consuming.start(replica, be_cut_off_at_the_second)
            await heard.until(lambda numbers: 5 in numbers)
        assert turns[:2] == [[], [0, 1]]
        assert heard.numbers == list(range(6))

    _play(open_replica, scenario)


def test_what_is_carried_while_a_consumer_starts_for_the_first_time_reaches_it(
    open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(replica: _Replica) -> None:
        heard, declared = Heard(), asyncio.Event()

        async def carry_first(channel: AbstractChannel, wanted: Topology) -> None:
            await replica.carry()
            await declare(channel, wanted)
            declared.set()

        monkeypatch.setattr(rabbitmq_bus, "declare", carry_first)
        await replica.happen(*(Rang(number=n) for n in range(5)))
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await declared.wait()
            while not await _registered(replica):
                await asyncio.sleep(0.02)
            await replica.carry()
            await heard.until(lambda numbers: 4 in numbers)
        assert heard.numbers == list(range(5))

    _play(open_replica, scenario)


async def _heard_after_the_broker_took(
    replica: _Replica, host: _Host, *, of: int, lost: int = 0, dead: int = 0
) -> Heard:
    heard = Heard()
    async with Consuming() as consuming:
        consuming.start(replica, heard)
        await _ready(replica, host)
    await replica.happen(*(Rang(number=n) for n in range(of)))
    await replica.carry()
    await host.take("listener", lost=lost, dead=dead)
    await replica.bus.make_up()
    async with Consuming() as consuming:
        consuming.start(replica, heard)
        await heard.until(lambda numbers: of - 1 in numbers)
    return heard


def test_what_the_broker_took_from_a_consumer_is_a_dead_letter_and_not_handled(
    open_replica: OpenReplica, host: _Host
) -> None:
    async def scenario(replica: _Replica) -> None:
        heard = await _heard_after_the_broker_took(replica, host, of=4, dead=2)
        assert heard.numbers == [2, 3]
        letters = await replica.dead_letters()
        assert [(letter["reason"], letter["event"]["data"]) for letter in letters] == [
            ("attempts", {"number": 0}),
            ("attempts", {"number": 1}),
        ]

    _play(open_replica, scenario)


def test_what_the_broker_took_behind_what_it_lost_is_handled_in_its_turn(
    open_replica: OpenReplica, host: _Host
) -> None:
    async def scenario(replica: _Replica) -> None:
        heard = await _heard_after_the_broker_took(replica, host, of=3, lost=1, dead=1)
        assert heard.numbers == [0, 1, 2]
        assert await replica.dead_letters() == []

    _play(open_replica, scenario)


def test_whoever_the_broker_forgot_without_a_word_hears_again(
    open_replica: OpenReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_LOOK_S", 0.1)

    async def scenario(replica: _Replica) -> None:
        async with (await replica.ports.open(Link)).channel(prefetch=1) as channel:
            first = asyncio.ensure_future(anext(deliveries(channel, TASK_QUEUE)))
            underlay = await channel.get_underlay_channel()
            assert isinstance(underlay, Channel)
            while not underlay.consumers:
                await asyncio.sleep(0.01)
            await underlay.basic_cancel(next(iter(underlay.consumers)))
            await replica.bus.wake([WakeUp("echo", 1)])
            await (await first).ack()

    _play(open_replica, scenario)
