"""What every bus keeps. A module that runs this has a fixture `open_bus` and imports these tests with `*`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import uuid4

from events.base import Envelope, Event
from shared.consumer import Consumer
from shared.errors import Invalid, Unavailable
from shared.function import on_event, spec_of
from shared.ports.bus import Bus, Handle, WakeUp
from shared.ports.dead_letters import DeadLetter, DeadLetters
from shared.wiring import Ports

T = TypeVar("T")


class Replica(Protocol):
    """One process on the bus."""

    @property
    def bus(self) -> Bus: ...
    @property
    def ports(self) -> Ports: ...

    async def happen(self, *events: Event) -> None:
        """Records events in the order given, and carries them."""

    async def dead_letters(self) -> list[dict[str, Any]]:
        """reason, consumer, event, attempts and error of each, oldest first."""

    async def cut(self) -> None:
        """Ends all connections to what carries the events; it can be reached again at once."""


OpenBus = Callable[[], AbstractAsyncContextManager[Replica]]


class Rang(Event):
    type: ClassVar[str] = "bell.rang.v1"
    number: int


class Fell(Event):
    type: ClassVar[str] = "bell.fell.v1"


class Heard:
    """A consumer's handler that keeps what it got; `fails` holds how each number is to end, attempt by attempt."""

    def __init__(self, fails: dict[int, list[Exception]] | None = None) -> None:
        self.numbers: list[int] = []
        self.at_once = 0
        self.most_at_once = 0
        self._fails = fails or {}
        self._news = asyncio.Condition()

    async def __call__(self, envelope: Envelope) -> None:
        number = int(envelope.data["number"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        # Whoever else is let in comes in now.
        await asyncio.sleep(0.005)
        self.at_once -= 1
        async with self._news:
            self.numbers.append(number)
            self._news.notify_all()
        if failures := self._fails.get(number):
            raise failures.pop(0)

    async def until(self, holds: Callable[[list[int]], bool]) -> None:
        async with self._news:
            await self._news.wait_for(lambda: holds(self.numbers))


class Consuming:
    """Consumers that run until the block ends."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, replica: Replica, handle: Handle, consumer: str = "listener") -> None:
        self._tasks.append(asyncio.create_task(replica.bus.consume(consumer, Rang.type, handle)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for end in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(end, asyncio.CancelledError), repr(end)
        self._tasks.clear()

    async def __aenter__(self) -> "Consuming":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def play(open_bus: OpenBus, replicas: int, scenario: Callable[..., Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            return await scenario(*[await stack.enter_async_context(open_bus()) for _ in range(replicas)])

    return asyncio.run(bounded())


def test_a_wake_up_reaches_a_subscriber_of_its_agent_and_no_other(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, worker: Replica) -> None:
        mine: list[WakeUp] = []
        others: list[WakeUp] = []
        woken = asyncio.Event()

        def hear(wake_up: WakeUp) -> None:
            mine.append(wake_up)
            if wake_up == WakeUp("echo", 3):
                woken.set()

        async with worker.bus.waking(["echo"], hear), worker.bus.waking(["other"], others.append):
            # What connecting itself may have told is no wake-up of the keeper's.
            mine.clear()
            others.clear()
            await keeper.bus.wake([WakeUp("nobody", 1), WakeUp("echo", 3)])
            await woken.wait()
            assert mine == [WakeUp("echo", 3)]
            assert others == []

    play(open_bus, 2, scenario)


def test_duplicated_wake_ups_are_harmless(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, worker: Replica) -> None:
        heard, woken = [], asyncio.Event()

        def hear(wake_up: WakeUp) -> None:
            heard.append(wake_up)
            if wake_up.wanted == 7:
                woken.set()

        async with worker.bus.waking(["echo"], hear):
            await keeper.bus.wake([WakeUp("echo", 1)] * 5)
            await asyncio.gather(*(keeper.bus.wake([WakeUp("echo", 1)]) for _ in range(5)))
            await keeper.bus.wake([WakeUp("echo", 7)])
            await woken.wait()
            assert {wake_up.agent for wake_up in heard} == {"echo"}

    play(open_bus, 2, scenario)


def test_a_wake_up_without_a_subscriber_is_no_error(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica) -> None:
        await keeper.bus.wake([WakeUp("nobody", 32)])

    play(open_bus, 1, scenario)


def test_each_event_is_handed_over_in_order(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        heard = Heard()
        await keeper.happen(*(Rang(number=n) for n in range(10)))
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await heard.until(lambda numbers: 9 in numbers)
            await keeper.happen(Fell(), *(Rang(number=n) for n in range(10, 20)))
            await heard.until(lambda numbers: 19 in numbers)
        assert heard.numbers == list(range(20))
        assert await keeper.dead_letters() == []

    play(open_bus, 2, scenario)


def test_every_consumer_gets_every_event(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        first, second = Heard(), Heard()
        async with Consuming() as consuming:
            consuming.start(replica, first, "first")
            consuming.start(replica, second, "second")
            await keeper.happen(*(Rang(number=n) for n in range(5)))
            await first.until(lambda numbers: numbers == list(range(5)))
            await second.until(lambda numbers: numbers == list(range(5)))

    play(open_bus, 2, scenario)


def test_an_event_comes_as_the_envelope_it_was(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        envelopes: asyncio.Queue[Envelope] = asyncio.Queue()
        async with Consuming() as consuming:
            consuming.start(replica, envelopes.put)
            await keeper.happen(Rang(number=7))
            envelope = await envelopes.get()
        assert envelope.type == "bell.rang.v1" and envelope.source == "/functions/ring" and envelope.subject == "bell"
        assert envelope.data == {"number": 7}
        assert envelope.time is not None and envelope.time.tzinfo is not None

    play(open_bus, 2, scenario)


def test_what_passes_by_itself_is_tried_again_and_holds_the_next_back(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        heard = Heard({1: [Unavailable("away"), Unavailable("still away")]})
        await keeper.happen(*(Rang(number=n) for n in range(3)))
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await heard.until(lambda numbers: 2 in numbers)
        assert heard.numbers == [0, 1, 1, 1, 2]
        assert await keeper.dead_letters() == []

    play(open_bus, 2, scenario)


def test_after_its_last_attempt_an_event_is_a_dead_letter_and_the_next_one_goes_on(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        heard = Heard({1: [Unavailable("away for good") for _ in range(9)]})
        await keeper.happen(*(Rang(number=n) for n in range(3)))
        async with Consuming() as consuming:
            consuming.start(replica, heard)
            await heard.until(lambda numbers: 2 in numbers)
        assert heard.numbers == [0, 1, 1, 1, 1, 1, 2]
        [letter] = await keeper.dead_letters()
        event = letter.pop("event")
        assert event["type"] == Rang.type and event["data"] == {"number": 1}
        assert letter == {"reason": "attempts", "consumer": "listener", "attempts": 5, "error": "away for good"}

    play(open_bus, 2, scenario)


def test_poison_is_a_dead_letter_and_the_next_one_goes_on(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        heard: asyncio.Queue[int] = asyncio.Queue()

        @on_event(Rang)
        async def listen(event: Rang) -> None:
            await heard.put(event.number)
            if event.number == 1:
                raise Invalid("not this bell")
            if event.number == 2:
                raise RuntimeError("a fault of ours")

        consumer = Consumer(spec_of(listen))
        await consumer.open(replica.ports)

        class Unreadable(Event):
            type: ClassVar[str] = Rang.type
            number: str = "none"

        await keeper.happen(Rang(number=0), Rang(number=1), Unreadable(), Rang(number=2), Rang(number=3))
        async with Consuming() as consuming:
            consuming.start(replica, consumer.handle_in_time, "poisoned")
            assert [await heard.get() for _ in range(4)] == [0, 1, 2, 3]
        letters = await keeper.dead_letters()
        assert [(letter["reason"], letter["event"]["data"]["number"], letter["attempts"]) for letter in letters] == [
            ("refused", 1, 1),
            ("refused", "none", 1),
            ("failed", 2, 1),
        ]
        assert [letters[0]["error"], letters[2]["error"]] == ["not this bell", "RuntimeError"]

    play(open_bus, 2, scenario)


def test_replicas_of_a_consumer_share_its_events_and_never_work_at_once(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, one: Replica, two: Replica) -> None:
        heard = Heard()
        async with Consuming() as consuming:
            consuming.start(one, heard)
            consuming.start(two, heard)
            for n in range(30):
                await keeper.happen(Rang(number=n))
            await heard.until(lambda numbers: 29 in numbers)
        assert heard.numbers == list(range(30))
        assert heard.most_at_once == 1

    play(open_bus, 3, scenario)


def test_a_replica_that_is_stopped_while_it_works_lets_the_next_one_in(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, one: Replica, two: Replica) -> None:
        began, heard = asyncio.Event(), Heard()

        async def never_ends(_: Envelope) -> None:
            began.set()
            await asyncio.Event().wait()

        await keeper.happen(Rang(number=0), Rang(number=1))
        async with Consuming() as stopped, Consuming() as consuming:
            stopped.start(one, never_ends)
            await began.wait()
            await stopped.stop()
            consuming.start(two, heard)
            async with asyncio.timeout(5):
                await heard.until(lambda numbers: 1 in numbers)
        assert heard.numbers == [0, 1]

    play(open_bus, 3, scenario)


def test_nothing_is_lost_when_connections_are_cut(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, worker: Replica) -> None:
        heard, name = Heard(), str(uuid4())
        wake_ups: asyncio.Queue[WakeUp] = asyncio.Queue()
        async with worker.bus.waking([name], wake_ups.put_nowait), Consuming() as consuming:
            consuming.start(worker, heard)
            for n in range(0, 40, 10):
                await keeper.happen(*(Rang(number=number) for number in range(n, n + 10)))
                await worker.cut()
            await heard.until(lambda numbers: 39 in numbers)
            # Each comes at least once, and in order but for what came again.
            assert list(dict.fromkeys(heard.numbers)) == list(range(40))
            # A wake-up may be lost with the connection; after it the worker looks by itself, and hears again.
            while not wake_ups.empty():
                wake_ups.get_nowait()
            heard_again = asyncio.create_task(wake_ups.get())
            while not heard_again.done():
                await keeper.bus.wake([WakeUp(name, 1)])
                await asyncio.wait([heard_again], timeout=0.1)
            assert heard_again.result().agent == name

    play(open_bus, 2, scenario)


def _has(number: int) -> Callable[[list[int]], bool]:
    return lambda numbers: number in numbers


async def _the_letter(letters: DeadLetters) -> DeadLetter:
    [letter] = (await letters.list(reason=None, agent=None, limit=10, cursor=None)).dead_letters
    return letter


def test_a_replayed_dead_letter_reaches_its_consumer_alone_and_may_die_again(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        letters = await replica.ports.open(DeadLetters)
        failing, other = Heard({1: [Unavailable("away") for _ in range(10)]}), Heard()
        async with Consuming() as consuming:
            consuming.start(replica, failing, "failing")
            consuming.start(replica, other, "other")
            await keeper.happen(*(Rang(number=n) for n in range(3)))
            for last in (2, 3, 4):
                await failing.until(_has(last))
                await other.until(_has(last))
                if last < 4:
                    letter = await _the_letter(letters)
                    assert (letter.reason, letter.consumer, letter.attempts) == ("attempts", "failing", 5)
                    assert await letters.replay_event(letter.id, actor=uuid4())
                    await keeper.happen(Rang(number=last + 1))
        assert failing.numbers == [0, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 3, 1, 4]
        assert other.numbers == [0, 1, 2, 3, 4]
        assert await keeper.dead_letters() == []

    play(open_bus, 2, scenario)


def test_a_replayed_dead_letter_comes_as_the_envelope_it_was(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, replica: Replica) -> None:
        letters = await replica.ports.open(DeadLetters)
        envelopes: asyncio.Queue[Envelope] = asyncio.Queue()

        async def refuse(envelope: Envelope) -> None:
            await letters.refuse("listener", envelope, reason="refused", error="not this bell")
            await envelopes.put(envelope)

        async with Consuming() as consuming:
            consuming.start(replica, refuse)
            await keeper.happen(Rang(number=7))
            first = await envelopes.get()
            assert await letters.replay_event((await _the_letter(letters)).id, actor=uuid4())
            await keeper.happen()
            assert await envelopes.get() == first

    play(open_bus, 2, scenario)


def test_a_wake_up_that_is_passed_on_reaches_another_process(open_bus: OpenBus) -> None:
    async def scenario(keeper: Replica, one: Replica, two: Replica) -> None:
        heard: dict[str, list[WakeUp]] = {"one": [], "two": []}
        async with (
            one.bus.waking(["echo"], heard["one"].append),
            two.bus.waking(["echo"], heard["two"].append),
        ):
            for wake_ups in heard.values():
                wake_ups.clear()
            await keeper.bus.wake([WakeUp("echo", 32)])
            # Whoever has heard it is full at once, and says so, and again when it hears its own words.
            while not (heard["one"] and heard["two"]):
                for name, replica in (("one", one), ("two", two)):
                    if heard[name]:
                        await replica.bus.pass_on("echo")
                await asyncio.sleep(0.01)

    play(open_bus, 3, scenario)
