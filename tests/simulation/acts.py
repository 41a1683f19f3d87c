"""What can happen to a record, each act decided by two small numbers, so that a schedule is a list of numbers."""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Protocol

from shared.task_states import Ran, State
from tests.simulation.promises import Broken, Promises
from tests.simulation.record import SECOND, Asked, Event, Held

USERS = AGENTS = 2
TOOLS = ((0,), (0, 1))
PAUSES = tuple(int(seconds * SECOND) for seconds in (0.2, 0.2, 1, 1, 2, 2, 4, 4, 25, 25, 70, 4000))
_TTLS = (5 * SECOND, 3600 * SECOND, 60 * SECOND)
# Odd enough that no two ranks are equal.
_TICK = 1003
# Rows are compared after every act, what only grows not so often.
_TRACED_EVERY = 12

Told = object


class Kept(Protocol):
    """A record, in memory or in PostgreSQL; see `tests.simulation.record.Record`. Times are in microseconds."""

    now: int

    def accept(self, asked: Sequence[Asked]) -> list[int] | None: ...
    def cancel(self, user: int, task: int) -> bool | None: ...
    def cancel_all(self, user: int) -> int: ...
    def join(self) -> int: ...
    def beat(self, worker: int, held: Sequence[Held]) -> list[int] | None: ...
    def leave(self, worker: int) -> None: ...
    def bury(self, worker: int) -> None: ...
    def claim(self, worker: int, agent: int, tools: Sequence[int], limit: int, *, lost: bool = True) -> list[Held]: ...
    def finish(self, one: Held, status: Ran, *, error: str | None = None, back_off: int | None = None) -> bool: ...
    def ask(self, one: Held) -> bool: ...
    def answer(self, user: int, task: int) -> bool | None: ...
    def attach(self, worker: int, asked: Asked) -> Held | None: ...
    def note(self, asked: Asked, status: Ran, *, took: int, error: str | None = None) -> int: ...
    def effect(self, one: Held, step: str) -> bool: ...
    def report(self, one: Held, percent: float) -> None: ...
    def claimable(self) -> dict[int, int]: ...
    def make_due(self) -> set[int]: ...
    def expire(self) -> int: ...
    def reap(self) -> set[int]: ...
    def number(self) -> int: ...


class Seen(Protocol):
    """All that a record holds."""

    def rows(self) -> Mapping[int, State]: ...
    def events(self) -> Sequence[Event]: ...
    def traces(self) -> object:
        """Audit lines, letters, calls that are due, effects, progress and depths."""


class Player:
    """Plays acts on a record and holds it to its promises. Two players of one schedule are told the same.

    `reads`: events too, after every act.
    """

    def __init__(self, record: Kept, seen: Seen, *, reads: bool = True) -> None:
        self.record, self.seen, self.reads = record, seen, reads
        self.promises = Promises()
        self.workers = [self._joined(), self._joined()]
        self.given: list[tuple[int, Held]] = []
        self.known: dict[int, State] = {}

    def play(self, name: str, a: int, b: int) -> Told:
        """One act, and a look at what it did."""
        self.record.now += _TICK
        told: Told = getattr(self, name)(a, b)
        self.promises.acting = None
        return told

    def look(self, *, acting: int | None = None) -> Mapping[int, State]:
        rows = self.seen.rows()
        self.promises.acting = acting
        for task, row in rows.items():
            old = self.known.get(task)
            if old != row:
                self.promises.wrote(task, old, row, self.record.now)
        for task in self.known.keys() - rows.keys():
            raise AssertionError(f"task {task} is gone")
        self.known = dict(rows)
        if self.reads:
            self.promises.told_events(rows, self.seen.events())
        return rows

    def _joined(self) -> int:
        worker = self.record.join()
        self.promises.lives(worker, self.record.now)
        return worker

    def _asked(self, a: int, b: int) -> Asked:
        asked = Asked(a % USERS, (b >> 4) % AGENTS, int(b % 8 == 7), b % 10, 1 + (a >> 1) % 3, _TTLS[(a >> 3) % 3])
        return asked._replace(calls_back=b % 3 == 0)

    # --- acts ---------------------------------------------------------------------------------------------------

    def submit(self, a: int, b: int) -> Told:
        asked = [self._asked(a, b)] * (1 + (a >> 5) % 3)
        return self._accepted(asked)

    def submit_under_a_key(self, a: int, b: int) -> Told:
        length = 1 + (b >> 2) % 2
        body = self._asked(a, 0)._replace(digest=2 * length + (b % 4 == 3))
        return self._accepted([body._replace(key=f"{a >> 1 & 1} {n}") for n in range(length)])

    def _accepted(self, asked: Sequence[Asked]) -> Told:
        tasks = self.record.accept(asked)
        self.promises.told_accepted(asked, tasks)
        self.look(acting=asked[0].user)
        return tasks

    def cancel(self, a: int, b: int) -> Told:
        """By its owner, or once in a while by another; often of one that waits for its next attempt."""
        if not self.known:
            return None
        waiting = [task for task, row in self.known.items() if row.due_at is not None] if b & 8 else []
        task = waiting[a % len(waiting)] if waiting else a % len(self.known)
        owner = self.promises.asked[task].user
        user = owner if b % 4 else 1 - owner
        told = self.record.cancel(user, task)
        rows = self.look(acting=user)
        if told:
            self.promises.told_cancelled(task, rows.get(task))
        return told

    def cancel_all(self, a: int, b: int) -> Told:
        told = self.record.cancel_all(a % USERS)
        self.look(acting=a % USERS)
        return told

    def claim(self, a: int, b: int) -> Told:
        worker = self.workers[a % 2]
        lost = (b >> 2) % 4 != 0
        claimed = self.record.claim(worker, (b >> 1) % AGENTS, TOOLS[b % 2], 1 + (a >> 1) % 3, lost=lost)
        self.promises.told_claimed(worker, claimed)
        self.look()
        self.given += [(worker, one) for one in claimed]
        return claimed

    def attach(self, a: int, b: int) -> Told:
        worker = self.workers[a % 2]
        asked = self._asked(a, b)._replace(calls_back=False)
        one = self.record.attach(worker, asked)
        if one is not None:
            self.promises.asked[one.task] = asked
            self.promises.told_claimed(worker, [one])
            self.given.append((worker, one))
        self.look()
        return one

    def note(self, a: int, b: int) -> Told:
        asked = self._asked(a, b)._replace(calls_back=False)
        error = None if b % 2 else "TOOL_ERROR"
        task = self.record.note(asked, "succeeded" if b % 2 else "failed", took=a * 1000, error=error)
        self.promises.asked[task] = asked
        self.look(acting=asked.user)
        return task

    def _one(self, a: int) -> tuple[int, Held] | None:
        """Mostly by its holder, else by whoever ever had it."""
        holders = [given for given in self.given if self._is_held(given[1])] if a & 3 else []
        given = holders or self.given
        return given[-1 - (a >> 2) % len(given)] if given else None

    def _is_held(self, one: Held) -> bool:
        row = self.known[one.task]
        return row.status == "running" and row.fence == one.fence

    def finish(self, a: int, b: int) -> Told:
        return self._finish(self._one(a), b)

    def finish_late(self, a: int, b: int) -> Told:
        """By one whose task another has by now, where there is such a one."""
        late = [given for given in self.given if self._is_anothers(given[1])]
        return self._finish(late[a % len(late)] if late else self._one(a), b)

    def _is_anothers(self, one: Held) -> bool:
        row = self.known[one.task]
        return row.status == "running" and row.fence != one.fence

    def _finish(self, given: tuple[int, Held] | None, b: int) -> Told:
        if given is None:
            return None
        worker, one = given
        self.promises.gives_up(worker, one)
        before = self.known.get(one.task)
        status, error, back_off = _OUTCOMES[b % len(_OUTCOMES)]
        written = self.record.finish(one, status, error=error, back_off=back_off)
        self.promises.told_finished(one, before, written)
        self.look()
        return written

    def ask(self, a: int, b: int) -> Told:
        given = self._one(a)
        if given is None or self.known[given[1].task].attached:
            return None
        worker, one = given
        self.promises.gives_up(worker, one)
        before = self.known.get(one.task)
        written = self.record.ask(one)
        self.promises.told_finished(one, before, written)
        self.look()
        return written

    def answer(self, a: int, b: int) -> Told:
        """By its owner, or once in a while by another; mostly where something is open."""
        if not self.known:
            return None
        asking = [task for task, row in self.known.items() if (row.status, row.rank, row.due_at) == _ASKING]
        task = asking[a % len(asking)] if asking and b & 8 else a % len(self.known)
        owner = self.promises.asked[task].user
        user = owner if b % 4 else 1 - owner
        told = self.record.answer(user, task)
        self.look(acting=user)
        return told

    def effect(self, a: int, b: int) -> Told:
        if (given := self._one(a)) is None:
            return None
        step = f"step {b % 2}"
        first = self.record.effect(given[1], step)
        self.promises.told_effect(given[1], step, first)
        return first

    def report(self, a: int, b: int) -> Told:
        if given := self._one(a):
            self.record.report(given[1], float(b % 101))
        return None

    def beat(self, a: int, b: int) -> Told:
        """With what it holds, or as one that never heard the answer to its claim."""
        worker = self.workers[a % 2]
        mine = [one for holder, one in self.given if holder == worker][-3:] if b % 4 else []
        self.promises.holds(worker, mine)
        lost = self.record.beat(worker, mine)
        if lost is None:
            self.promises.ends(worker)
            self.workers[a % 2] = self._joined()
        else:
            self.promises.lives(worker, self.record.now)
        self.look()
        return lost if lost is None else sorted(lost)

    def leave(self, a: int, b: int) -> Told:
        return self._replaced(a, self.record.leave)

    def die(self, a: int, b: int) -> Told:
        """Its slot boots anew."""
        return self._replaced(a, self.record.bury)

    def _replaced(self, a: int, farewell: Callable[[int], None]) -> Told:
        worker = self.workers[a % 2]
        self.promises.ends(worker)
        farewell(worker)
        self.workers[a % 2] = self._joined()
        self.look()
        return None

    def fall_silent(self, a: int, b: int) -> Told:
        """One worker, while the other goes on."""
        for _ in range(2):
            self.record.now += 2 * SECOND
            self.beat(a + 1, b | 1)
        return self.reap(a, b)

    def crash_loop(self, a: int, b: int) -> Told:
        """Boots, claims and dies, again and again."""
        told = []
        for _ in range(2 + b % 4):
            told.append(self.claim(a % 2, b | 1))
            self.die(a, b)
        return told

    def expire(self, a: int, b: int) -> Told:
        told = self.record.expire()
        self.look()
        return told

    def make_due(self, a: int, b: int) -> Told:
        self.record.now += a % 2 * 3 * SECOND
        told = self.record.make_due()
        self.look()
        return told

    def reap(self, a: int, b: int) -> Told:
        told = self.record.reap()
        self.look()
        return told

    def count(self, a: int, b: int) -> Told:
        return self.record.claimable()

    def pause(self, a: int, b: int) -> Told:
        self.record.now += PAUSES[a % len(PAUSES)]
        return None

    def lag(self, a: int, b: int) -> Told:
        """The time of a transaction is that of its beginning."""
        self.record.now -= 40 * _TICK + 17
        return None

    # --- the end ------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Whatever has happened: what waits runs to its end, and after a while nothing is open."""
        now = self.record.now
        ready = [
            task
            for task, row in self.look().items()
            if row.status == "queued" and row.rank is not None and row.expires_at > now
        ]
        self._run_what_waits()
        for task in ready:
            if self.known[task].status != "succeeded":
                raise Broken("P1", f"task {task} waited for a worker, and is {self.known[task].status} after it")
        for _ in range(3):
            self.record.now += 2000 * SECOND
            self.record.reap()
            self.record.expire()
            self.look()
        self.promises.at_rest(self.known)
        self.promises.told_events(self.known, self.seen.events())

    def _run_what_waits(self) -> None:
        worker = self._joined()
        for agent in range(AGENTS):
            while claimed := self.record.claim(worker, agent, TOOLS[-1], 16):
                self.promises.told_claimed(worker, claimed)
                self.look()
                for one in claimed:
                    self.promises.gives_up(worker, one)
                    before = self.known[one.task]
                    self.promises.told_finished(one, before, self.record.finish(one, "succeeded"))
                    self.look()


_ASKING = ("queued", None, None)
_OUTCOMES: tuple[tuple[Ran, str | None, int | None], ...] = (
    ("succeeded", None, None),
    ("failed", "TOOL_ERROR", None),
    ("failed", "SERVICE_UNAVAILABLE", 2 * SECOND),
    ("failed", "SERVICE_UNAVAILABLE", None),
    ("failed", "SERVICE_UNAVAILABLE", 2 * SECOND),
)

# How often each happens, among all.
ACTS: dict[str, int] = {
    "submit": 14,
    "submit_under_a_key": 5,
    "claim": 20,
    "finish": 18,
    "finish_late": 5,
    "cancel": 6,
    "cancel_all": 1,
    "attach": 3,
    "note": 1,
    "ask": 5,
    "answer": 8,
    "effect": 5,
    "report": 2,
    "beat": 6,
    "leave": 2,
    "die": 2,
    "crash_loop": 4,
    "fall_silent": 7,
    "reap": 3,
    "expire": 3,
    "make_due": 7,
    "count": 1,
    "pause": 9,
    "lag": 5,
}


def schedule(seed: int, length: int) -> list[tuple[str, int, int]]:
    dice = Random(seed)
    names = dice.choices(list(ACTS), cum_weights=list(accumulate(ACTS.values())), k=length)
    numbers = dice.randbytes(length * 2)
    return [(name, numbers[2 * n], numbers[2 * n + 1]) for n, name in enumerate(names)]


def differs(one: Player, other: Player, acts: Sequence[tuple[str, int, int]]) -> str | None:
    """Where two records part that are played the same; None when they agree to the end."""
    for n, act in enumerate(acts):
        answers = one.play(*act), other.play(*act)
        if answers[0] != answers[1]:
            return f"act {n}, {act}: {answers[0]} and {answers[1]}"
        parted = _rows_parted(one.known, other.known)
        if parted is None and n % _TRACED_EVERY == 0:
            parted = _traces_parted(one.seen, other.seen)
        if parted:
            return f"act {n}, {act}: {parted}"
    one.rest()
    other.rest()
    return _rows_parted(one.known, other.known) or _traces_parted(one.seen, other.seen)


def _rows_parted(rows: Mapping[int, State], others: Mapping[int, State]) -> str | None:
    for task, (row, its) in enumerate(zip(rows.values(), others.values(), strict=True)):
        if row != its:
            fields = [name for name in State._fields if getattr(row, name) != getattr(its, name)]
            return f"task {task} in {fields}: {row} and {its}"
    return None


def _traces_parted(one: Seen, other: Seen) -> str | None:
    # One statement tells of its rows in any order.
    told = [sorted(seen.events(), key=lambda event: (event.task, event.sequence)) for seen in (one, other)]
    if told[0] != told[1]:
        return f"events {told[0]} and {told[1]}"
    traces = one.traces(), other.traces()
    return None if traces[0] == traces[1] else f"traces {traces[0]} and {traces[1]}"
