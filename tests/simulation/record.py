"""The record in memory: rows that only the acts of `shared.task_states` change, in transactions that may stay open."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from shared import task_states
from shared.ports.tasks import TERMINAL
from shared.task_states import Ran, State

SECOND = 1_000_000
ALIVE = 3 * SECOND
# The codes of errors that may pass by themselves.
PASSING = frozenset({"SERVICE_UNAVAILABLE", "CALLER_LOST", "WORKER_LOST"})

_TYPES = {"queued": "requeued", "running": "started"}


class Asked(NamedTuple):
    """Who asked for what. Users, agents, tools and digests are numbers."""

    user: int
    agent: int = 0
    tool: int = 0
    priority: int = 4
    max_attempts: int = 3
    ttl: int = 3600 * SECOND
    key: str | None = None
    digest: int = 0
    calls_back: bool = False
    # What becomes of it, where the simulated worker decides.
    script: int = 0


class Held(NamedTuple):
    """A task as it was given to a worker."""

    task: int
    fence: int
    attempt: int
    losses: int
    last: bool = False


class Event(NamedTuple):
    """`said`: the attempt that has started, or why a task waits again or failed."""

    type: str
    task: int
    sequence: int
    said: int | str | None = None


class Blocked(Exception):
    """A row that the statement has to wait for is in the hands of another transaction."""


@dataclass(slots=True)
class Transaction:
    """What is written, and seen by nobody yet. `locks`: its rows; `keys`: of rows that may come to be."""

    xid: int
    rows: dict[int, State] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    keys: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    # Ids of tasks whose INSERT this is.
    new: frozenset[int] = frozenset()


class Record:
    """Answers as the adapters of PostgreSQL do, with numbers for ids. `wrote` hears of each row that is committed.

    `states`: the acts to use. Rows are in order of acceptance; None where a transaction has taken the number and not
    ended, or was rolled back.
    """

    def __init__(
        self,
        states: ModuleType | Any = task_states,
        wrote: Callable[[int, State | None, State], None] = lambda task, old, new: None,
    ) -> None:
        self.states = states
        self.wrote = wrote
        self.now = 0
        self.rows: list[State | None] = []
        self.asked: list[Asked] = []
        self.workers: dict[int, int] = {}
        # When each beat last.
        self.beats: dict[int, int] = {}
        self.booted = 0
        self.keys: dict[tuple[int, str], tuple[int, int]] = {}
        self.effects: set[tuple[int, str]] = set()
        # Tasks with a question that is open, and those with one that was answered.
        self.questions: set[int] = set()
        self.answered: set[int] = set()
        self.progress: dict[int, float] = {}
        # Events as committed, with their transaction, then with the number that the keeper has given them.
        self.events: list[tuple[int, Event]] = []
        self.numbered: list[tuple[int, Event]] = []
        self.audit: list[tuple[int, str]] = []
        self.letters: list[tuple[int, int]] = []
        self.due_calls: dict[int, int] = {}
        self.open: list[Transaction] = []
        self._locked: set[int] = set()
        self._xid = 0

    # --- transactions -------------------------------------------------------------------------------------------

    def _commit(self, rows: dict[int, State], events: list[Event], *, stays_open: bool = False, **more: Any) -> None:
        self._xid += 1
        transaction = Transaction(self._xid, rows, events, **more)
        if stays_open:
            self.open.append(transaction)
            self._locked.update(rows)
        else:
            self._write(transaction)

    def _write(self, transaction: Transaction) -> None:
        mine = self.rows
        for task, new in transaction.rows.items():
            old, mine[task] = mine[task], new
            self.wrote(task, old, new)
            if new.finished_at is not None:
                self._end(task, new)
        xid = transaction.xid
        self.events.extend([(xid, event) for event in transaction.events])
        self.keys.update(transaction.keys)

    def _end(self, task: int, new: State) -> None:
        self.audit.append((task, new.status))
        if self.asked[task].calls_back:
            self.due_calls[task] = self.now
        if new.status != "failed" or new.attached or new.error not in PASSING:
            return
        lost = new.losses >= task_states.MOST_LOSSES
        if lost or new.attempt >= new.max_attempts:
            self.letters.append((task, new.losses if lost else new.attempt))

    def end(self, transaction: Transaction, *, committed: bool) -> None:
        """Of one that had stayed open."""
        self.open.remove(transaction)
        self._locked.difference_update(transaction.rows)
        if committed:
            self._write(transaction)

    def _wait_for(self, tasks: Iterable[int]) -> None:
        if self._locked and not self._locked.isdisjoint(tasks):
            raise Blocked

    # --- those who ask ------------------------------------------------------------------------------------------

    def accept(self, asked: Sequence[Asked], *, stays_open: bool = False) -> list[int] | None:
        """The tasks, all of one user; None for a key that was used for another request."""
        if any((one.user, one.key) in transaction.keys for transaction in self.open for one in asked if one.key):
            raise Blocked
        known = [self.keys.get((one.user, one.key)) if one.key else None for one in asked]
        if any(known):
            same = all(use and use[1] == one.digest for use, one in zip(known, asked, strict=True))
            return [use[0] for use in known if use] if same else None
        user = asked[0].user
        ahead = sum(
            row is not None and row.status == "queued" and one.user == user
            for row, one in zip(self.rows, self.asked, strict=True)
        )
        rows, keys = {}, {}
        for nth, one in enumerate(asked):
            task = len(self.rows)
            self.rows.append(None)
            self.asked.append(one)
            rows[task] = self.states.accept(
                self.now, priority=one.priority, max_attempts=one.max_attempts, ttl=one.ttl, ahead=ahead + nth
            )
            if one.key is not None:
                keys[one.user, one.key] = (task, one.digest)
        events = [Event("submitted", task, row.version) for task, row in rows.items()]
        self._commit(rows, events, keys=keys, new=frozenset(rows), stays_open=stays_open)
        return list(rows)

    def get(self, user: int, task: int) -> State | None:
        return self.rows[task] if self.asked[task].user == user else None

    def cancel(self, user: int, task: int, *, stays_open: bool = False) -> bool | None:
        """None when there is no such task; False when it has ended already."""
        row = self.get(user, task)
        if row is None:
            return None
        self._wait_for([task])
        return bool(self._cancel([task], stays_open=stays_open))

    def answer(self, user: int, task: int) -> bool | None:
        """None when there is no such task; False when nothing was open."""
        row = self.get(user, task)
        if row is None:
            return None
        self._wait_for([task])
        if row.status != "queued" or task not in self.questions:
            return False
        self.questions.discard(task)
        self.answered.add(task)
        rows = self._moved([task], self.states.go_on)
        self._commit(rows, [])
        return True

    def cancel_all(self, user: int) -> int:
        mine = [task for task, one in enumerate(self.asked) if one.user == user]
        self._wait_for(mine)
        return self._cancel(mine)

    def _cancel(self, tasks: Iterable[int], *, stays_open: bool = False) -> int:
        rows = self._moved(tasks, self.states.cancel)
        self._commit(rows, [Event("cancelled", task, row.version) for task, row in rows.items()], stays_open=stays_open)
        return len(rows)

    def _moved(self, tasks: Iterable[int], act: Callable[[State, int], State | None]) -> dict[int, State]:
        moved = {}
        for task in tasks:
            row = self.rows[task]
            if row is not None and (new := act(row, self.now)) is not None:
                moved[task] = new
        return moved

    # --- workers ------------------------------------------------------------------------------------------------

    def join(self) -> int:
        self.booted += 1
        self.workers[self.booted] = self.now + ALIVE
        return self.booted

    def beat(self, worker: int, held: Sequence[Held]) -> list[int] | None:
        if worker not in self.workers:
            return None
        self.workers[worker] = self.now + ALIVE
        lost = [one.task for one in held if not self._is_held(one)]
        known = {(one.task, one.fence) for one in held}
        before, self.beats[worker] = self.beats.get(worker, 0), self.now
        mine = [(task, row) for task in self._running([worker]) if (row := self.rows[task])]
        self._take_back([t for t, row in mine if (row.started_at or 0) < before and (t, row.fence) not in known])
        return lost

    def _is_held(self, one: Held) -> bool:
        row = self.rows[one.task]
        return row is not None and row.status == "running" and row.fence == one.fence

    def leave(self, worker: int) -> None:
        self._take_back_of([worker], losses=0)

    def bury(self, worker: int) -> None:
        """Its slot boots anew."""
        self._take_back_of([worker])

    def claim(
        self,
        worker: int,
        agent: int,
        tools: Sequence[int],
        limit: int,
        *,
        lost: bool = True,
        stays_open: bool = False,
    ) -> list[Held]:
        if worker not in self.workers:
            return []
        ready: list[tuple[int, int, State]] = []
        for task, row in enumerate(self.rows):
            if row is None or row.status != "queued" or task in self._locked or (row.losses and not lost):
                continue
            one = self.asked[task]
            if one.agent == agent and one.tool in tools and (new := self.states.claim(row, self.now, worker)):
                ready.append((row.rank or 0, task, new))
        ready.sort()
        rows = {task: new for _, task, new in ready[:limit]}
        events = [Event("started", task, row.version, row.attempt) for task, row in rows.items()]
        self._commit(rows, events, stays_open=stays_open)
        return [held(task, row) for task, row in rows.items()]

    def finish(
        self,
        one: Held,
        status: Ran,
        *,
        error: str | None = None,
        back_off: int | None = None,
        stays_open: bool = False,
    ) -> bool:
        self._wait_for([one.task])
        row = self.rows[one.task]
        new = row and self.states.finish(row, self.now, one.fence, status, error=error, back_off=back_off)
        if new is None:
            return False
        said = new.error if new.status in ("queued", "failed") else None
        event = Event(_TYPES.get(new.status, new.status), one.task, new.version, said)
        self._commit({one.task: new}, [event], stays_open=stays_open)
        return True

    def ask(self, one: Held) -> bool:
        """Its client, for one answer."""
        self._wait_for([one.task])
        row = self.rows[one.task]
        new = row and self.states.ask(row, one.fence, error="INPUT_REQUIRED")
        if new is None:
            return False
        self.questions.add(one.task)
        self._commit({one.task: new}, [Event("requeued", one.task, new.version, new.error)])
        return True

    def attach(self, worker: int, asked: Asked) -> Held | None:
        if worker not in self.workers:
            return None
        new = self.states.attach(self.now, worker, priority=asked.priority, ttl=asked.ttl)
        task = self._insert(asked, new, "started", new.attempt)
        return held(task, new)

    def note(self, asked: Asked, status: Ran, *, took: int, error: str | None = None) -> int:
        """A read that has run while its caller waited."""
        new = self.states.record(self.now, status, took=took, error=error)
        return self._insert(asked, new, status, error if status == "failed" else None)

    def _insert(self, asked: Asked, new: State, type: str, said: int | str | None) -> int:
        task = len(self.rows)
        self.rows.append(None)
        self.asked.append(asked)
        self._commit({task: new}, [Event(type, task, new.version, said)])
        return task

    def effect(self, one: Held, step: str) -> bool:
        """False when an earlier attempt has left it already."""
        if (one.task, step) in self.effects:
            return False
        self.effects.add((one.task, step))
        return True

    def report(self, one: Held, percent: float) -> None:
        if self._is_held(one):
            self.progress[one.task] = percent

    # --- the keeper ---------------------------------------------------------------------------------------------

    def claimable(self) -> dict[int, int]:
        """By agent."""
        found: dict[int, int] = {}
        for row, one in zip(self.rows, self.asked, strict=True):
            if row is not None and row.status == "queued" and row.rank is not None:
                found[one.agent] = found.get(one.agent, 0) + 1
        return found

    def make_due(self) -> set[int]:
        """Nobody is told: for those who ask, a task in back-off was queued all along."""
        rows = self._moved(self._unlocked(), self.states.make_due)
        self._commit(rows, [])
        return {self.asked[task].agent for task in rows}

    def expire(self) -> int:
        rows = self._moved(self._unlocked(), self.states.expire)
        self._commit(rows, [Event("expired", task, row.version) for task, row in rows.items()])
        return len(rows)

    def _unlocked(self) -> Iterable[int]:
        if not self._locked:
            return range(len(self.rows))
        return [task for task in range(len(self.rows)) if task not in self._locked]

    def reap(self) -> set[int]:
        dead = [worker for worker, alive_until in self.workers.items() if alive_until < self.now]
        agents = self._take_back_of(dead)
        orphans = [
            task
            for task, row in enumerate(self.rows)
            if row is not None and row.status == "running" and row.worker not in self.workers
        ]
        return agents | self._take_back(orphans)

    def _running(self, workers: Sequence[int]) -> list[int]:
        if not workers:
            return []
        return [
            task
            for task, row in enumerate(self.rows)
            if row is not None and row.status == "running" and row.worker in workers
        ]

    def _take_back_of(self, workers: Sequence[int], *, losses: int = 1) -> set[int]:
        agents = self._take_back(self._running(workers), losses=losses)
        for worker in workers:
            self.workers.pop(worker, None)
        return agents

    def _take_back(self, tasks: Sequence[int], *, losses: int = 1) -> set[int]:
        if not tasks:
            return set()
        self._wait_for(tasks)
        rows = self._moved(tasks, lambda row, now: self.states.take_back(row, now, losses=losses))
        events = []
        for task, row in rows.items():
            said = (row.error or "WORKER_LOST") if row.status in ("queued", "failed") else None
            events.append(Event(_TYPES.get(row.status, row.status), task, row.version, said))
        self._commit(rows, events)
        return {self.asked[task].agent for task in rows}

    def number(self) -> int:
        """Events get their numbers once nothing older can come."""
        oldest = min((transaction.xid for transaction in self.open), default=self._xid + 1)
        ready = [event for event in self.events if event[0] < oldest]
        if ready:
            ready.sort(key=lambda event: event[0])
            self.events = [event for event in self.events if event[0] >= oldest]
            first = len(self.numbered) + 1
            self.numbered.extend([(first + n, event) for n, (_, event) in enumerate(ready)])
        return len(ready)

    def restart(self) -> None:
        """What was not committed has never been."""
        for transaction in list(self.open):
            self.end(transaction, committed=False)


def held(task: int, row: State) -> Held:
    return Held(task, row.fence, row.attempt, row.losses, row.attempt >= row.max_attempts)


def ended(row: State | None) -> bool:
    return row is None or row.status in TERMINAL


@dataclass(frozen=True)
class View:
    """All that a record in memory holds."""

    record: Record

    def rows(self) -> dict[int, State]:
        return {task: row for task, row in enumerate(self.record.rows) if row is not None}

    def events(self) -> list[Event]:
        return [event for _, event in (*self.record.numbered, *self.record.events)]

    def traces(self) -> object:
        mine = self.record
        return sorted(mine.audit), sorted(mine.letters), mine.due_calls, mine.effects, mine.progress
