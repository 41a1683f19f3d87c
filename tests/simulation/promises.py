"""What is promised of tasks, each promise stated once; whoever drives a record tells what happened.

P1 accepted work ends · P2 an end stays · P3 one effect per execution and step · P4 an old fence writes nothing · P5 no
more attempts than allowed · P6 no task has two living holders · P7 one key, one task · P8 one result event, and no
reader misses any · P9 wake-ups decide nothing · P10 what was cancelled never succeeds · P11 nothing starts late · P12
and P13 the broker and Redis hold nothing that is needed (P1 and P9 after they were wiped) · P14 nobody touches what is
another's · P15 times are ordered. (P16, JSON in = JSON out, is `tests/contract/test_json_kept.py`.)
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from shared.ports.tasks import TERMINAL
from shared.task_states import MOVES, State
from tests.simulation.record import ALIVE, Asked, Event, Held

RESULTS = frozenset(TERMINAL)


class Broken(AssertionError):
    """A promise that was not kept. `promise` is its number."""

    def __init__(self, promise: str, why: str) -> None:
        super().__init__(f"{promise}: {why}")
        self.promise = promise


class Promises:
    """`moves` counts each pair of states that a task went between."""

    def __init__(self) -> None:
        self.asked: dict[int, Asked] = {}
        self.accepted: set[int] = set()
        self.moves: Counter[tuple[str | None, str]] = Counter()
        # The only user whose rows may change now.
        self.acting: int | None = None
        self._keys: dict[tuple[int, str], tuple[int, int]] = {}
        self._given: set[tuple[int, int]] = set()
        self._holding: dict[int, set[tuple[int, int]]] = {}
        self._alive_until: dict[int, int] = {}
        self._cancelled: set[int] = set()
        self._effects: set[tuple[int, str]] = set()

    # --- what the record shows ----------------------------------------------------------------------------------

    def wrote(self, task: int, old: State | None, new: State, now: int) -> None:
        before = old.status if old is not None else None
        self.moves[before, new.status] += 1
        if before in TERMINAL:
            raise Broken("P2", f"task {task} was {before} and became {new.status}")
        if before != new.status and (before, new.status) not in MOVES:
            raise Broken("P2", f"task {task} went from {before} to {new.status}")
        if new.attempt > new.max_attempts:
            raise Broken("P5", f"task {task} is in attempt {new.attempt} of {new.max_attempts}")
        ended, started = new.finished_at, new.started_at
        if (ended is not None) != (new.status in TERMINAL):
            raise Broken("P15", f"task {task} is {new.status} with its end at {ended}")
        if not new.created_at <= (new.created_at if started is None else started):
            raise Broken("P15", f"task {task} began before it was asked for")
        if ended is not None and not (new.created_at if started is None else started) <= ended:
            raise Broken("P15", f"task {task} ended before it began")
        if self.acting is not None and task in self.asked and self.asked[task].user != self.acting:
            raise Broken("P14", f"user {self.acting} changed task {task} of another")
        if old is None:
            return
        if new.fence < old.fence or new.version < old.version:
            raise Broken("P4", f"the fence or the version of task {task} fell")
        if new.status == "running" and new.fence != old.fence + 1:
            raise Broken("P4", f"task {task} was given away under the old fence {old.fence}")
        if new.status == "running" and (started is None or started >= new.expires_at):
            raise Broken("P11", f"task {task} began at {started}, and its time was over at {new.expires_at}")
        if before == "running" and new.worker is None and old.worker is not None:
            self._was_taken(task, old.worker, old.fence, now)

    def _was_taken(self, task: int, worker: int, fence: int, now: int) -> None:
        if (task, fence) in self._holding.get(worker, ()) and self._alive_until.get(worker, now) > now:
            raise Broken("P6", f"task {task} was taken from worker {worker}, which is alive")

    # --- what callers are told ----------------------------------------------------------------------------------

    def told_accepted(self, asked: Sequence[Asked], tasks: Sequence[int] | None) -> None:
        uses = [self._keys.get((one.user, one.key)) if one.key else None for one in asked]
        if tasks is None:
            if all(use and use[1] == one.digest for use, one in zip(uses, asked, strict=True)):
                raise Broken("P7", "a repeated request was refused")
            return
        for task, use, one in zip(tasks, uses, asked, strict=True):
            if use is not None and use != (task, one.digest):
                raise Broken("P7", f"key {one.key!r} stood for {use} and now for {(task, one.digest)}")
            if use is None and task in self.accepted:
                raise Broken("P7", f"task {task} was given to two requests")
            if one.key is not None:
                self._keys[one.user, one.key] = (task, one.digest)
            self.accepted.add(task)
            self.asked.setdefault(task, one)

    def told_claimed(self, worker: int, claimed: Iterable[Held]) -> None:
        for one in claimed:
            if (one.task, one.fence) in self._given:
                raise Broken("P6", f"task {one.task} was given away twice under fence {one.fence}")
            self._given.add((one.task, one.fence))
            self._holding.setdefault(worker, set()).add((one.task, one.fence))

    def told_finished(self, one: Held, before: State | None, written: bool) -> None:
        """`before`: the row as it was then."""
        fits = before is not None and before.status == "running" and before.fence == one.fence
        if written and not fits:
            raise Broken("P4", f"task {one.task} was ended under fence {one.fence}, from {before}")
        if fits and not written:
            raise Broken("P4", f"the holder of task {one.task} was refused")

    def told_cancelled(self, task: int, row: State | None) -> None:
        self._cancelled.add(task)
        if row is None or row.status != "cancelled":
            raise Broken("P10", f"task {task} was said to be cancelled and is {row and row.status}")

    def told_effect(self, one: Held, step: str, first: bool) -> None:
        if first is ((one.task, step) in self._effects):
            raise Broken("P3", f"step {step!r} of task {one.task} left {'a second' if first else 'no'} effect")
        self._effects.add((one.task, step))

    # --- workers ------------------------------------------------------------------------------------------------

    def lives(self, worker: int, now: int) -> None:
        """It has had an answer to its beat."""
        self._alive_until[worker] = now + ALIVE

    def holds(self, worker: int, held: Iterable[Held]) -> None:
        """All that it goes on with."""
        self._holding[worker] = {(one.task, one.fence) for one in held}

    def gives_up(self, worker: int, one: Held) -> None:
        """It sends its outcome, and asks for nothing more."""
        self._holding.get(worker, set()).discard((one.task, one.fence))

    def ends(self, worker: int) -> None:
        self._holding.pop(worker, None)
        self._alive_until.pop(worker, None)

    # --- after all of it ----------------------------------------------------------------------------------------

    def at_rest(
        self, rows: Mapping[int, State], may_end: Callable[[int], Collection[str]] = lambda _: TERMINAL
    ) -> None:
        """`may_end`: how a task can have ended, whatever became of wake-ups and hints."""
        for task in self.accepted:
            if task not in rows:
                raise Broken("P1", f"task {task} was accepted and is gone")
        for task, row in rows.items():
            if row.status not in TERMINAL:
                raise Broken("P1", f"task {task} is {row.status} in the end")
            if task in self._cancelled and row.status != "cancelled":
                raise Broken("P10", f"task {task} was cancelled and {row.status} in the end")
            if row.status not in may_end(task):
                raise Broken("P9", f"task {task} {row.status}, which was none of {sorted(may_end(task))}")

    def told_events(self, rows: Mapping[int, State], events: Iterable[Event]) -> None:
        """Events as a reader got them, all there are."""
        course: dict[int, list[Event]] = {}
        for event in events:
            course.setdefault(event.task, []).append(event)
        for task, row in rows.items():
            mine = course.pop(task, [])
            if [event.sequence for event in mine] != list(range(1, row.version + 1)):
                raise Broken("P8", f"task {task} has version {row.version} and events {mine}")
            ends = [event.type for event in mine if event.type in RESULTS]
            if ends != ([row.status] if row.status in TERMINAL else []):
                raise Broken("P8", f"task {task} is {row.status}, and events say {ends}")
        if course:
            raise Broken("P8", f"events tell of tasks that are not there: {sorted(course)}")
