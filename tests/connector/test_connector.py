"""The connector between RabbitMQ and functions that are served on ports of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar
from uuid import uuid4

from events.base import Envelope, Event
from events.tasks import TaskQueued
from shared.config import Settings
from shared.connector import Connector
from shared.errors import Unavailable
from shared.function import on_event, spec_of
from shared.ports.bus import Bus, WakeUp
from shared.ports.dead_letters import DeadLetters
from shared.ports.functions import Refused
from shared.ports.upkeep import Upkeep
from shared.stores.postgres.database import Database
from shared.stores.postgres.outbox import record_event
from shared.wiring import Ports

T = TypeVar("T")


class Rang(Event):
    type: ClassVar[str] = "bell.rang.v1"
    number: int


@on_event(Rang)
async def listen(event: Rang) -> None:
    raise AssertionError("it is called over HTTP, never here")


@dataclass
class Answering:
    """Behind the port Functions: keeps what was sent, and ends each request when and how it is told."""

    failing: dict[int, list[Exception]] = field(default_factory=dict)
    sent: list[tuple[str, Envelope]] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    at_once: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._news = asyncio.Condition()

    async def send(self, name: str, event: Envelope, *, timeout_s: float) -> None:
        async with self._news:
            self.sent.append((name, event))
            self.at_once[name] = self.at_once.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self.at_once[name])
            self._news.notify_all()
        try:
            if hold := self.held.get(name):
                await hold.wait()
        finally:
            self.at_once[name] -= 1
        if failures := self.failing.get(event.data.get("number", -1)):
            raise failures.pop(0)

    def names(self) -> list[str]:
        return [name for name, _ in self.sent]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(holds)


@dataclass(frozen=True)
class Around:
    functions: Answering
    bus: Bus
    ports: Ports

    async def ring(self, *numbers: int) -> None:
        database = await self.ports.open(Database)
        async with database.transaction() as connection:
            for number in numbers:
                event = Rang(number=number)
                await record_event(connection, event, source="/functions/ring", subject="bell", user_id=None)
        await (await self.ports.open(Upkeep)).number()

    async def carry(self) -> None:
        while True:
            await self.bus.relay()
            await self.bus.make_up()
            await asyncio.sleep(0.02)


def play(
    settings: Settings, amqp_url: str, scenario: Callable[[Around], Awaitable[T]], functions: Answering | None = None
) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30), _around(settings, amqp_url, functions or Answering()) as around:
            return await scenario(around)

    return asyncio.run(bounded())


@asynccontextmanager
async def _around(settings: Settings, amqp_url: str, functions: Answering) -> AsyncIterator[Around]:
    async with Ports(replace(settings, amqp_url=amqp_url)) as ports:
        bus = await ports.open(Bus)
        connector = Connector(["slow", "quick"], [spec_of(listen)], slots=2)
        around = Around(functions, bus, ports)
        tasks = [
            asyncio.create_task(connector.run(bus, functions, await ports.open(DeadLetters))),
            asyncio.create_task(around.carry()),
        ]
        try:
            # Its first look at every agent, since wake-ups may have been lost before.
            await functions.until(lambda: {"slow", "quick"} <= set(functions.names()))
            functions.sent.clear()
            yield around
        finally:
            for hold in functions.held.values():
                hold.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def test_a_wake_up_reaches_its_agent_as_a_cloud_event(settings: Settings, amqp_url: str) -> None:
    async def scenario(around: Around) -> None:
        await around.bus.wake([WakeUp("quick", 1)])
        await around.functions.until(lambda: bool(around.functions.sent))
        [(name, event)] = around.functions.sent
        assert (name, event.type, event.agent, event.data["agent"]) == ("quick", TaskQueued.type, "quick", "quick")

    play(settings, amqp_url, scenario)


def test_an_agent_without_a_free_slot_holds_up_no_other(settings: Settings, amqp_url: str) -> None:
    async def scenario(around: Around) -> None:
        functions = around.functions
        functions.held["slow"] = asyncio.Event()
        await around.bus.wake([WakeUp("slow", 32)] * 20)
        await functions.until(lambda: functions.at_once.get("slow") == 2)
        for _ in range(5):
            before = functions.names().count("quick")
            await around.bus.wake([WakeUp("quick", 1)])
            await functions.until(lambda before=before: functions.names().count("quick") > before)  # type: ignore[misc]
        assert functions.at_once["slow"] == functions.most["slow"] == 2

    play(settings, amqp_url, scenario)


def test_what_is_noted_while_all_slots_are_busy_is_served_when_one_frees(settings: Settings, amqp_url: str) -> None:
    async def scenario(around: Around) -> None:
        functions = around.functions
        hold = functions.held["slow"] = asyncio.Event()
        await around.bus.wake([WakeUp("slow", 2)])
        await functions.until(lambda: functions.at_once.get("slow") == 2)
        await around.bus.wake([WakeUp("slow", 1)])
        await around.bus.wake([WakeUp("quick", 1)])
        await functions.until(lambda: "quick" in functions.names())
        assert functions.names().count("slow") == 2
        hold.set()
        await functions.until(lambda: functions.names().count("slow") == 3)

    play(settings, amqp_url, scenario)


def test_events_come_in_order_and_are_acknowledged_after_the_answer(settings: Settings, amqp_url: str) -> None:
    async def scenario(around: Around) -> list[object]:
        await around.ring(0, 1, 2)
        await around.functions.until(lambda: len(around.functions.sent) == 3)
        return [event.data["number"] for _, event in around.functions.sent]

    assert play(settings, amqp_url, scenario) == [0, 1, 2]


def test_an_answer_that_may_pass_is_tried_again_and_one_that_never_will_is_a_dead_letter(
    settings: Settings, amqp_url: str
) -> None:
    failing: dict[int, list[Exception]] = {0: [Unavailable("503")], 1: [Refused("it answered 403")]}

    async def scenario(around: Around) -> list[tuple[str, str, str]]:
        await around.ring(0, 1, 2)
        numbers = [0, 0, 1, 2]
        await around.functions.until(lambda: [event.data["number"] for _, event in around.functions.sent] == numbers)
        rows = await (await around.ports.open(Database)).fetch("SELECT reason, consumer, error FROM dead_letters")
        return [tuple(row) for row in rows]

    consumer = spec_of(listen).deployed
    found = play(settings, amqp_url, scenario, Answering(failing=failing))
    assert found == [("refused", consumer, "it answered 403")]


def test_a_body_that_nobody_can_parse_is_a_dead_letter_and_the_next_wake_up_goes_on(
    settings: Settings, amqp_url: str
) -> None:
    import aio_pika

    from shared.stores.rabbitmq.link import Link, Outgoing

    async def scenario(around: Around) -> list[tuple[str, str]]:
        link = await around.ports.open(Link)
        await link.publish([Outgoing("agents", "task.quick", aio_pika.Message(b"\xff not JSON"))])
        await around.bus.wake([WakeUp("quick", 1)])
        await around.functions.until(lambda: "quick" in around.functions.names())
        rows = await (await around.ports.open(Database)).fetch("SELECT reason, consumer FROM dead_letters")
        return [tuple(row) for row in rows]

    assert play(settings, amqp_url, scenario) == [("unreadable", "task_queue")]


def test_what_is_on_its_way_ends_when_the_connector_is_stopped(settings: Settings, amqp_url: str) -> None:
    async def scenario() -> bool:
        functions = Answering()
        ended = False

        async def send(name: str, event: Envelope, *, timeout_s: float) -> None:
            nonlocal ended
            began.set()
            await release.wait()
            ended = True

        began, release = asyncio.Event(), asyncio.Event()
        functions.send = send  # type: ignore[method-assign]
        async with asyncio.timeout(20), Ports(replace(settings, amqp_url=amqp_url)) as ports:
            connector = Connector([f"agent-{uuid4().hex[:6]}"], [])
            run = connector.run(await ports.open(Bus), functions, await ports.open(DeadLetters))
            task = asyncio.create_task(run)
            await began.wait()
            task.cancel()
            asyncio.get_running_loop().call_later(0.2, release.set)
            await asyncio.gather(task, return_exceptions=True)
        return ended

    assert asyncio.run(scenario())
