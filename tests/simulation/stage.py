"""The stage that the simulated system plays on: who is there, and how each of them speaks to the record."""

from collections import Counter
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

from shared import task_states
from shared.task_states import Ran, State
from tests.simulation.promises import Promises
from tests.simulation.record import SECOND, Asked, Blocked, Event, Held, Record

AGENTS = 2
WORKERS = 3
SLOTS = 4

# What becomes of a task, by its script.
OK, ASKS, BAD, PASSES, PASSES_LATE, NEVER, POISON_ONCE, POISON = range(8)


def outcome(script: int, attempt: int) -> tuple[Ran, str | None, int | None]:
    """What a worker finds in an attempt."""
    if script == BAD:
        return "failed", "TOOL_ERROR", None
    fails = {PASSES: 1, PASSES_LATE: 2, NEVER: 9, POISON: 9}.get(script, 0)
    if attempt <= fails:
        return "failed", "SERVICE_UNAVAILABLE", 2 * SECOND
    return "succeeded", None, None


def end_of(script: int, max_attempts: int) -> Ran:
    """How a task ends that nobody cancels, whose time does not run out, and whose workers live."""
    return outcome(script, max_attempts)[0]


class Lost:
    """No answer: what was asked for may have happened, or not, or happens later."""


LOST: Final = Lost()


class Worker:
    """A process. `skew`: of its own clock, which decides nothing."""

    __slots__ = ("held", "id", "outcomes", "sent", "skew", "stalled", "tools", "woken")

    def __init__(self, tools: Sequence[int]) -> None:
        self.id = 0
        self.tools = tools
        self.skew = 0
        self.stalled = False
        self.woken: set[int] = set()
        self.held: dict[int, Held] = {}
        self.outcomes: dict[int, tuple[Ran, str | None, int | None]] = {}
        # Whose outcomes were sent at least once.
        self.sent: set[int] = set()

    def drop(self, task: int) -> None:
        self.held.pop(task, None)
        self.outcomes.pop(task, None)
        self.sent.discard(task)


class Keeper:
    __slots__ = ("active", "since", "skew", "woken_at")

    def __init__(self) -> None:
        self.active = False
        self.since = 0
        self.skew = 0
        self.woken_at: dict[int, int] = {}


class Stage:
    """`say`, where given, is told each thing that happens."""

    record_type: type[Record] = Record
    states: ModuleType | Any = task_states

    def __init__(self, say: Callable[[str], None] | None = None) -> None:
        self.say = say
        self.promises = Promises()
        self.faults: Counter[str] = Counter()
        self.record = self.record_type(self.states, self._wrote)
        self.workers: list[Worker | None] = [Worker((0, 1)), Worker((0, 1)), Worker((0,))]
        self.graves = [0] * WORKERS
        self.keepers = [Keeper(), Keeper()]
        self.lock: int | None = None
        self.broker: list[int] = []
        self.broker_is_up = True
        # What was said over Redis or NOTIFY and not heard yet.
        self.hints: list[tuple[str, int]] = []
        self.requests: list[tuple[Asked, ...]] = []
        self.unanswered: set[int] = set()
        self.cancels: set[int] = set()
        self.disabled: set[int] = set()
        self.cursor = 0
        self.read: list[Event] = []

    def _wrote(self, task: int, old: State | None, new: State) -> None:
        if self.say:
            self.say(f"    task {task}: {old.status if old else 'none'} -> {new.status}, fence {new.fence}")
        if new.error in ("WORKER_LOST", "CALLER_LOST"):
            self.faults["caller lost" if new.attached else "five workers lost"] += 1
        self.promises.wrote(task, old, new, self.record.now)

    def _fault(self, name: str) -> None:
        self.faults[name] += 1
        if self.say:
            self.say(f"  ! {name}")

    def _ask(self, how: int, statement: Callable[..., Any], *args: Any, may_stay_open: bool = True, **more: Any) -> Any:
        """`how`, below 16, is the fate of the statement and of its answer. LOST or what it answers."""
        if self.say:
            self.say(f"{self.record.now / SECOND:9.3f} {statement.__name__} {args} {more or ''}")
        if how == 0:
            self._fault("connection cut before a statement")
            return LOST
        try:
            if how == 1 and may_stay_open:
                self._fault("transaction left open")
                statement(*args, **more, stays_open=True)
                return LOST
            told = statement(*args, **more)
        except Blocked:
            return LOST
        if how == 2:
            self._fault("answer lost after the commit")
            return LOST
        if self.say:
            self.say(f"    = {told}")
        return told
