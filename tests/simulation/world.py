"""The whole system around the record: people, keepers, a broker, hints and workers, and every fault that each may have.

A schedule is bytes. The first decides what kind of day it is; each three that follow are one step, decided by the first
of them, on what the other two choose. A step that does not apply does nothing, so any part of a schedule is one.
"""

from collections.abc import Callable

from shared.ports.tasks import TERMINAL
from shared.task_states import MOST_LOSSES
from tests.simulation.carriers import Carriers
from tests.simulation.days import DAYS, STEP_BYTES, STEPS, day_of
from tests.simulation.keepers import LOOPS
from tests.simulation.people import People
from tests.simulation.record import SECOND
from tests.simulation.stage import SLOTS, WORKERS, Worker, end_of
from tests.simulation.workers import Workers

_PAUSES = (SECOND // 5, SECOND // 2, SECOND, SECOND, 2 * SECOND, 4 * SECOND, 25 * SECOND, 70 * SECOND)
# Rounds after the last fault, and how many seconds each lasts: much less than most tasks may wait.
_ROUNDS = (1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 16)

Step = Callable[["World", int, int], None]


class World(People, Carriers, Workers):
    """`say`, where given, is told each thing that happens."""

    def run(self, schedule: bytes) -> None:
        """Raises Broken."""
        table = _table(type(self), day_of(schedule[0]))
        record = self.record
        for at in range(1, len(schedule) - 2, STEP_BYTES):
            record.now += 1003
            table[schedule[at]](self, schedule[at + 1], schedule[at + 2])
        self.heal()

    # --- the record's server ------------------------------------------------------------------------------------

    def pause(self, a: int, b: int) -> None:
        self.record.now += _PAUSES[a & 7]

    def commit(self, a: int, b: int) -> None:
        if self.record.open:
            self.record.end(self.record.open[a % len(self.record.open)], committed=b > 20)

    def restart(self, a: int, b: int) -> None:
        """Every connection ends with it, and locks with their connections."""
        self._fault("record restarted")
        self.record.restart()
        self.lock = None
        for keeper in self.keepers:
            keeper.active = keeper.active and bool(b & 1)

    # --- after the last fault -----------------------------------------------------------------------------------

    def heal(self) -> None:
        if self.say:
            self.say("--- the last fault is over")
        record = self.record
        for transaction in list(record.open):
            record.end(transaction, committed=True)
        self.broker_is_up = True
        for number in (0, 1):
            self._stand_by(number)
            self.keepers[number].skew = 0
        for at, worker in enumerate(self.workers):
            if worker is not None:
                worker.stalled, worker.tools = False, (0, 1)
            else:
                self.workers[at] = Worker((0, 1))
        for seconds in _ROUNDS:
            record.now += seconds * SECOND
            self._round()
            if all(row is None or row.status in TERMINAL for row in record.rows):
                break
        record.number()
        self.tail(0, 0)
        rows = {task: row for task, row in enumerate(record.rows) if row is not None}
        self.promises.at_rest(rows, self._may_end)
        self.promises.told_events(rows, self.read)

    def _round(self) -> None:
        for at in range(WORKERS):
            self.boot(at, 0xF2)
            self.beat(at, 0xF0)
        for task in sorted(self.record.questions):
            self.record.answer(self.record.asked[task].user, task)
        for loop in range(len(LOOPS)):
            self.keep(loop << 1, 0xF0)
        for number in range(len(self.broker)):
            self.deliver(0, number)
        for at in range(WORKERS):
            self._drain(at)
        self.record.number()

    def _drain(self, at: int) -> None:
        while (worker := self._worker(at)) is not None and (worker.held or worker.woken):
            if worker.woken and len(worker.held) < SLOTS:
                self._claim(worker, min(worker.woken), 0xF3)
            elif worker.held:
                self._work(worker, at, next(iter(worker.held)), 0xF0)
            else:
                return

    def _may_end(self, task: int) -> set[str]:
        row, one = self.record.rows[task], self.record.asked[task]
        assert row is not None and row.finished_at is not None
        ends: set[str] = {end_of(one.script, one.max_attempts)}
        if task in self.cancels or one.user in self.disabled:
            ends.add("cancelled")
        if row.finished_at >= row.expires_at:
            ends.add("expired")
        if row.losses >= MOST_LOSSES or row.attached:
            ends.add("failed")
        return ends


_TABLES: dict[tuple[type[World], int], list[Step]] = {}


def _table(world: type[World], day: int) -> list[Step]:
    """Of each first byte, its step."""
    if (world, day) not in _TABLES:
        _TABLES[world, day] = _made_table(world, day)
    return _TABLES[world, day]


def _made_table(world: type[World], day: int) -> list[Step]:
    names = [name for name, weight in (STEPS | DAYS[day]).items() for _ in range(weight)]
    return [getattr(world, names[byte * len(names) >> 8]) for byte in range(256)]


def step_names(schedule: bytes) -> list[str]:
    table = _table(World, day_of(schedule[0]))
    return [table[byte].__name__ for byte in schedule[1::STEP_BYTES]]
