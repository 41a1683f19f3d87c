"""What the keeper is held to, over ports that only note down; each promise takes the module that holds `keep`.

The tests run them on the real one, and mutants of it have to fail one of them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from shared.errors import Unavailable
from shared.ports.bus import WakeUp
from shared.ports.signals import Channel
from tests.keeper.virtual_time import run_leaping

Keep = Any
Said = tuple[float, str]
_DAY = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Place:
    """An upkeep, a bus and signals in one. `said`: what was asked of them, and when.

    `slow`: from when on the next answer to what is asked takes how long. `leap`: when the record's clock leaps by how
    much. `judged`: the times by it at which workers were to have been silent. All in seconds.
    """

    said: list[Said] = field(default_factory=list)
    woken: list[tuple[float, list[WakeUp]]] = field(default_factory=list)
    waiting: list[WakeUp] = field(default_factory=list)
    due: list[list[str]] = field(default_factory=list)
    lost: list[list[str]] = field(default_factory=list)
    numbered: list[int] = field(default_factory=list)
    fails: dict[str, int] = field(default_factory=dict)
    took_s: float = 0.0
    slow: dict[str, tuple[float, float]] = field(default_factory=dict)
    leap: tuple[float, float] = (0.0, 0.0)
    judged: list[float] = field(default_factory=list)
    hear: Callable[[str | None], None] | None = None

    def _note(self, name: str) -> None:
        self.said.append((asyncio.get_running_loop().time(), name))
        if self.fails.get(name, 0):
            self.fails[name] -= 1
            raise Unavailable("away")

    async def _answered(self, name: str) -> None:
        since, seconds = self.slow.get(name, (float("inf"), 0.0))
        if asyncio.get_running_loop().time() >= since:
            del self.slow[name]
            await asyncio.sleep(seconds)

    def times(self, name: str) -> list[float]:
        return [at for at, said in self.said if said == name]

    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        self._note("active")
        try:
            yield
        except ExceptionGroup as errors:
            raise Unavailable("the record") from errors

    async def claimable(self) -> list[WakeUp]:
        self._note("claimable")
        return self.waiting

    async def make_due(self) -> Sequence[str]:
        self._note("make_due")
        return self.due.pop(0) if self.due else []

    async def clock(self) -> datetime:
        self._note("clock")
        await self._answered("clock")
        now, (since, by) = asyncio.get_running_loop().time(), self.leap
        return _DAY + timedelta(seconds=now + (by if now >= since else 0.0))

    async def reap(self, silent_at: datetime | None = None) -> Sequence[str]:
        self._note("reap")
        assert silent_at is not None
        self.judged.append((silent_at - _DAY).total_seconds())
        await self._answered("reap")
        return self.lost.pop(0) if self.lost else []

    async def expire(self) -> int:
        self._note("expire")
        return 0

    async def number(self) -> int:
        self._note("number")
        return self.numbered.pop(0) if self.numbered else 0

    async def seal(self) -> int:
        self._note("seal")
        return 0

    async def verify(self) -> int | None:
        raise NotImplementedError

    async def take_turn(self, name: str, every_s: float) -> bool:
        raise NotImplementedError

    async def trim(self) -> Mapping[str, int]:
        raise NotImplementedError

    async def wake(self, wake_ups: Sequence[WakeUp]) -> None:
        self.woken.append((asyncio.get_running_loop().time(), list(wake_ups)))
        self._note("wake")
        await asyncio.sleep(self.took_s)

    async def relay(self) -> None:
        self._note("relay")

    async def make_up(self) -> None:
        self._note("make_up")

    def waking(self, agents: object, heard: object) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    async def pass_on(self, agent: str) -> None:
        raise NotImplementedError

    async def consume(self, consumer: str, type: str, handle: object) -> None:
        raise NotImplementedError

    def send(self, channel: Channel, payload: str) -> None:
        raise NotImplementedError

    def listening(self, channel: Channel, heard: Callable[[str | None], None]) -> AbstractAsyncContextManager[None]:
        assert channel == "accepted"
        return self._listening(heard)

    @contextmanager
    def _heard(self, heard: Callable[[str | None], None]) -> Iterator[None]:
        self.hear = heard
        yield
        self.hear = None

    @asynccontextmanager
    async def _listening(self, heard: Callable[[str | None], None]) -> AsyncIterator[None]:
        with self._heard(heard):
            yield


def kept(module: Keep, place: Place, seconds: float, *events: tuple[float, str | None]) -> Place:
    """A keeper for so long; at the times given it hears what was accepted."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with patch.object(module, "time", SimpleNamespace(monotonic=lambda: 1000.0 + loop.time())):
            keeper = asyncio.create_task(module.keep(upkeep=place, bus=place, signals=place))
            for at, said in events:
                if at > loop.time():
                    await asyncio.sleep(at - loop.time())
                assert place.hear is not None
                place.hear(said)
            await asyncio.sleep(seconds - loop.time())
            ended = keeper.done()
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            assert not ended, "the keeper has ended"

    run_leaping(scenario())
    return place


def _every(seconds: float, upto: float, *, after: float = 0.0) -> list[float]:
    times = [round(after + n * seconds, 3) for n in range(int((upto - after) / seconds) + 2)]
    return [at for at in times if at < upto]


def each_loop_runs_in_its_time(module: Keep) -> None:
    place = kept(module, Place(), 20.05)
    times = {name: place.times(name) for name in ("number", "make_due", "claimable", "expire", "seal", "make_up")}
    assert times == {
        "number": _every(0.1, 20.05),
        "make_due": _every(0.25, 20.05),
        "claimable": _every(1, 20.05),
        "expire": _every(1, 20.05),
        "seal": _every(1, 20.05),
        "make_up": _every(5, 20.05),
    }
    assert place.times("clock") == _every(0.5, 20.05)
    # Live workers get the time to say so.
    assert place.times("reap") == _every(0.5, 20.05, after=3)
    assert place.woken == [] and place.times("active") == [0]


def workers_get_the_time_to_say_that_they_live_after_an_outage(module: Keep) -> None:
    """That no connection broke in, too: the turn before lies more than 1.5 s back."""
    for asked, seconds, again in ((1, 2.0, 6.0), (10, 4.0, 17.0), (10, 1.001, 14.001)):
        place = kept(module, Place(slow={"clock": (asked, seconds)}), 20.05)
        before = _every(0.5, asked, after=3)
        assert place.times("reap") == [*before, *_every(0.5, 20.05, after=again)], asked


def an_outage_that_workers_live_through_gives_them_no_more_time(module: Keep) -> None:
    place = kept(module, Place(slow={"clock": (10, 1.0)}), 20.05)
    assert place.times("reap") == [*_every(0.5, 10, after=3), *_every(0.5, 20.05, after=11)]


def what_an_outage_holds_up_judges_by_the_time_before_it(module: Keep) -> None:
    place = kept(module, Place(slow={"reap": (10, 4.0)}), 20.05)
    assert place.times("reap") == [*_every(0.5, 10.5, after=3), *_every(0.5, 20.05, after=17.5)]
    assert place.judged == place.times("reap")


def workers_get_the_time_to_say_that_they_live_after_the_clock_leapt(module: Keep) -> None:
    """The machine may have slept, with its other clocks."""
    for by in (60.0, -60.0):
        place = kept(module, Place(leap=(10, by)), 20.05)
        assert place.times("reap") == [*_every(0.5, 10, after=3), *_every(0.5, 20.05, after=13)], by
        assert place.judged == [at + (by if at >= 10 else 0) for at in place.times("reap")], by


def what_is_accepted_wakes_its_agent_at_once(module: Keep) -> None:
    place = kept(module, Place(), 9, (1, "everything 3 4"), (1, "files 1 0"), (1, None), (5, "files 2 9"))
    assert place.woken == [(1, [WakeUp("everything", 3, 4), WakeUp("files", 1, 0)]), (5, [WakeUp("files", 2, 9)])]


def what_comes_while_the_bus_is_busy_makes_one_batch(module: Keep) -> None:
    hints = [(1.0, "files 1 2"), *[(1.2, f"files {n} {p}") for n, p in ((20, 3), (10, 7), (5, 5))], (1.3, "a 1 1")]
    place = kept(module, Place(took_s=0.5), 9, *hints)
    assert place.woken == [(1, [WakeUp("files", 1, 2)]), (1.5, [WakeUp("files", 32, 7), WakeUp("a", 1, 1)])]


def who_still_waits_is_woken_again(module: Keep) -> None:
    """Two seconds after the last wake-up at the earliest, and as many as wait then."""
    place = kept(module, Place(waiting=[WakeUp("files", 7)]), 7.5, (0.5, "files 100 1"))
    assert [at for at, _ in place.woken] == [0, 0.5, 3, 6]
    assert [wake_ups for _, wake_ups in place.woken][1:] == [
        [WakeUp("files", 32, 1)],
        [WakeUp("files", 7)],
        [WakeUp("files", 7)],
    ]


def nobody_else_is_reminded(module: Keep) -> None:
    place = kept(module, Place(waiting=[WakeUp("files", 2)]), 6.5, (1.9, "other 1 0"), (2.9, "files 1 0"))
    assert [(at, [wake_up.agent for wake_up in each]) for at, each in place.woken] == [
        (0, ["files"]),
        (1.9, ["other"]),
        (2.9, ["files"]),
        (5, ["files"]),
    ]


def whose_tasks_are_due_or_taken_back_is_woken(module: Keep) -> None:
    place = kept(module, Place(due=[[], ["a", "b"]], lost=[["c"], []]), 5)
    assert place.woken == [(0.25, [WakeUp("a", 1), WakeUp("b", 1)]), (3, [WakeUp("c", 1)])]


def events_are_carried_once_there_are_any(module: Keep) -> None:
    """And at the start, since a keeper before may have left some."""
    place = kept(module, Place(numbered=[0, 0, 5, 0, 2]), 1.05)
    assert place.times("relay") == [0, 0.2, 0.4]


def events_that_were_not_carried_are_carried_later(module: Keep) -> None:
    place = kept(module, Place(numbered=[0, 0, 5], fails={"relay": 3}), 1.05)
    assert place.times("relay") == [0, 0.1, 0.2, 0.3]


def a_transport_that_is_away_stops_nothing(module: Keep) -> None:
    place = Place(fails={"wake": 1, "make_up": 2, "relay": 2})
    kept(module, place, 6.05, (1, "files 1 0"), (2, "files 1 0"))
    assert place.times("active") == [0]
    assert place.times("wake") == [1, 2] and place.times("make_up") == [0, 5]
    assert place.times("expire") == _every(1, 6.05)


def it_starts_over_when_the_record_was_away(module: Keep) -> None:
    for name in ("expire", "clock", "reap", "make_due", "number", "seal", "claimable"):
        place = kept(module, Place(fails={name: 1}), 8)
        first, second = place.times("active")
        failed = next(at for at, said in place.said if said == name)
        assert (first, second) == (0, failed + 0.5), name
        # The workers' grace begins anew.
        assert next(at for at in place.times("reap") if at > failed) == second + 3, name


def it_starts_over_when_it_loses_its_place(module: Keep) -> None:
    place = kept(module, Place(fails={"active": 3}), 4)
    assert place.times("active") == [0, 0.5, 1, 1.5]


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def an_outage_of_the_transport_is_said_once(module: Keep) -> None:
    logger, handler = logging.getLogger("sutazai.keeper"), _Kept()
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        kept(module, Place(fails={"wake": 3}), 9, *((at, "files 1 0") for at in (1.0, 2.0, 3.0, 4.0, 5.0)))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
    # What it makes up for every five seconds may find the transport back in between.
    assert handler.said == ["this keeper is active", "away; it is tried again", "the transport is back"]


PROMISES: tuple[Callable[[Keep], None], ...] = (
    each_loop_runs_in_its_time,
    workers_get_the_time_to_say_that_they_live_after_an_outage,
    an_outage_that_workers_live_through_gives_them_no_more_time,
    what_an_outage_holds_up_judges_by_the_time_before_it,
    workers_get_the_time_to_say_that_they_live_after_the_clock_leapt,
    what_is_accepted_wakes_its_agent_at_once,
    what_comes_while_the_bus_is_busy_makes_one_batch,
    who_still_waits_is_woken_again,
    nobody_else_is_reminded,
    whose_tasks_are_due_or_taken_back_is_woken,
    events_are_carried_once_there_are_any,
    events_that_were_not_carried_are_carried_later,
    a_transport_that_is_away_stops_nothing,
    it_starts_over_when_the_record_was_away,
    it_starts_over_when_it_loses_its_place,
    an_outage_of_the_transport_is_said_once,
)
