"""Known ways to lose or double work, planted into the simulated system: each has to be found."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from shared import task_states as true
from shared.task_states import Ran, State
from tests.simulation.record import SECOND, Asked, Event, Held, Record, Transaction
from tests.simulation.stage import POISON, Keeper, Lost, Worker
from tests.simulation.world import World


def _acts(**changed: Any) -> Any:
    return SimpleNamespace(**{**vars(true), **changed})


# --- what a statement forgets --------------------------------------------------------------------------------------


def _finish_under_any_fence(task: State, now: int, fence: int, status: Ran, **more: Any) -> State | None:
    return true.finish(task, now, task.fence, status, **more)


class NoFence(World):
    states = _acts(finish=_finish_under_any_fence)


def _finish_from_any_state(task: State, now: int, fence: int, status: Ran, **more: Any) -> State | None:
    return true.finish(task._replace(status="running"), now, fence, status, **more)


class EndAfterCancel(World):
    states = _acts(finish=_finish_from_any_state)


class CancelAfterEnd(World):
    states = _acts(cancel=lambda task, now: true.cancel(task._replace(status="running"), now))


def _claim_though_expired(task: State, now: int, worker: int) -> State | None:
    claimed = true.claim(task._replace(expires_at=now + 1), now, worker)
    return claimed and claimed._replace(expires_at=task.expires_at)


class NoExpiryAtClaim(World):
    states = _acts(claim=_claim_though_expired)


def _claim_under_the_same_fence(task: State, now: int, worker: int) -> State | None:
    claimed = true.claim(task, now, worker)
    return claimed and claimed._replace(fence=max(task.fence, 1))


class FenceStays(World):
    states = _acts(claim=_claim_under_the_same_fence)


def _finish_with_attempts_without_end(task: State, now: int, fence: int, status: Ran, **more: Any) -> State | None:
    ended = true.finish(task._replace(max_attempts=99), now, fence, status, **more)
    return ended and ended._replace(max_attempts=task.max_attempts)


class AttemptsWithoutEnd(World):
    states = _acts(finish=_finish_with_attempts_without_end)


def _take_back_and_keep_the_attempt(task: State, now: int, *, losses: int = 1) -> State | None:
    lost = true.take_back(task, now, losses=losses)
    return lost and lost._replace(attempt=task.attempt)


class LossIsAnAttempt(World):
    states = _acts(take_back=_take_back_and_keep_the_attempt)


def _take_back_without_end(task: State, now: int, *, losses: int = 1) -> State | None:
    return true.take_back(task._replace(losses=0), now, losses=losses)


class PoisonWithoutEnd(World):
    """Every worker dies of it, and nobody counts."""

    states = _acts(take_back=_take_back_without_end)

    def _work(self, worker: Worker, at: int, task: int, b: int) -> None:
        if self.record.asked[task].script == POISON:
            self._kill(at)
        else:
            super()._work(worker, at, task, b)


class BackOffWithoutEnd(World):
    states = _acts(make_due=lambda task, now: None)


# --- what the record forgets ---------------------------------------------------------------------------------------


class _NoSkipLocked(Record):
    """Nor does anybody wait."""

    def _commit(self, rows: dict[int, State], events: list[Event], *, stays_open: bool = False, **more: Any) -> None:
        super()._commit(rows, events, stays_open=stays_open, **more)
        self._locked.clear()


class ClaimedTwice(World):
    record_type = _NoSkipLocked


class _NoOrphans(Record):
    def reap(self) -> set[int]:
        return self._take_back_of([worker for worker, until in self.workers.items() if until < self.now])


class OrphansStay(World):
    record_type = _NoOrphans


class _NothingForgotten(Record):
    def beat(self, worker: int, held: Sequence[Held]) -> list[int] | None:
        rows = [(task, row) for task in self._running([worker]) if (row := self.rows[task])]
        lost = super().beat(worker, [*held, *(Held(task, row.fence, 0, 0) for task, row in rows)])
        mine = {one.task for one in held}
        return lost and [task for task in lost if task in mine]


class LostClaimsStay(World):
    record_type = _NothingForgotten


class _Hasty(Record):
    def reap(self) -> set[int]:
        return self._take_back_of([worker for worker, until in self.workers.items() if until < self.now + 2 * SECOND])


class LivingAreBuried(World):
    record_type = _Hasty


class _KeylessRecord(Record):
    def accept(self, asked: Sequence[Asked], *, stays_open: bool = False) -> list[int] | None:
        return super().accept([one._replace(key=None) for one in asked], stays_open=stays_open)


class KeyIgnored(World):
    record_type = _KeylessRecord


class _NoDigests(Record):
    def accept(self, asked: Sequence[Asked], *, stays_open: bool = False) -> list[int] | None:
        return super().accept([one._replace(digest=0) for one in asked], stays_open=stays_open)


class BodyIgnored(World):
    record_type = _NoDigests


class _Open(Record):
    def get(self, user: int, task: int) -> State | None:
        return self.rows[task]


class CancelOfAnothers(World):
    record_type = _Open


class _EffectsByAttempt(Record):
    def effect(self, one: Held, step: str) -> bool:
        return super().effect(one, f"{step} {one.fence}")


class EffectByAttempt(World):
    record_type = _EffectsByAttempt


class _ToldAnyway(Record):
    def finish(self, one: Held, status: Ran, **more: Any) -> bool:
        written = super().finish(one, status, **more)
        row = self.rows[one.task]
        if not written and row is not None:
            self._commit({}, [Event(status, one.task, row.version + 1)])
        return written


class ZombieIsTold(World):
    record_type = _ToldAnyway


class _ToldLater(Record):
    """The event goes out on its own, once the end is written."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.later: list[Event] = []

    def finish(self, one: Held, status: Ran, **more: Any) -> bool:
        said = [event for _, event in self.events]
        written = super().finish(one, status, **more)
        mine = [pair for pair in self.events if pair[1].task == one.task and pair[1] not in said]
        self.events = [pair for pair in self.events if pair not in mine]
        self.later = [event for _, event in mine]
        return written


class EventOutsideOfTheTransaction(World):
    record_type = _ToldLater

    def _ask(self, how: int, statement: Any, *args: Any, **more: Any) -> Any:
        told = super()._ask(how, statement, *args, **more)
        record = self.record
        if statement.__name__ == "finish" and told is True and isinstance(record, _ToldLater):
            record._commit({}, record.later)
        return told


class _DatabaseSequence(Record):
    """Numbers are taken when events are written, and seen when they are committed."""

    taken = 0

    def _commit(self, rows: dict[int, State], events: list[Event], *, stays_open: bool = False, **more: Any) -> None:
        first, self.taken = self.taken + 1, self.taken + len(events)
        super()._commit(rows, [], stays_open=stays_open, **more)
        mine = [(first + n, event) for n, event in enumerate(events)]
        if stays_open:
            self.waiting = [*getattr(self, "waiting", []), (self.open[-1], mine)]
        else:
            self.numbered += mine

    def end(self, transaction: Transaction, *, committed: bool) -> None:
        super().end(transaction, committed=committed)
        for mine, events in getattr(self, "waiting", []):
            if mine is transaction and committed:
                self.numbered = sorted([*self.numbered, *events])


class ReaderMisses(World):
    record_type = _DatabaseSequence


# --- what the processes around it do -------------------------------------------------------------------------------


class WakeUpsAreTrusted(World):
    """Whoever was woken will come: nobody is reminded, and whoever begins asks for nothing."""

    def remind(self, keeper: Keeper, b: int) -> None:
        pass

    def boot(self, a: int, b: int) -> None:
        super().boot(a, b & ~4)


class RemindedOnce(World):
    """A wake-up that was published has arrived."""

    def remind(self, keeper: Keeper, b: int) -> None:
        self._publish(keeper, {agent for agent in self.record.claimable() if agent not in keeper.woken_at})


def _claim_again(task: State, now: int, worker: int) -> State | None:
    running = task.status == "running" and task.attempt < task.max_attempts
    return true.claim(task._replace(status="queued") if running else task, now, worker)


class _Redelivered(Record):
    """What is running is claimed again."""

    def claim(self, worker: int, agent: int, tools: Sequence[int], limit: int, **more: Any) -> list[Held]:
        for task in self._running(list(range(1, self.booted + 1))):
            row = self.rows[task]
            one = self.asked[task]
            if worker in self.workers and row and one.agent == agent and (new := _claim_again(row, self.now, worker)):
                self._commit({task: new}, [Event("started", task, new.version, new.attempt)])
                return [Held(task, new.fence, new.attempt, new.losses)]
        return super().claim(worker, agent, tools, limit, **more)


class DuplicateStartsAgain(World):
    record_type = _Redelivered


class AnsweredBeforeTheCommit(World):
    def _accepted(self, asked: Sequence[Asked], told: list[int] | Lost | None) -> bool:
        pending = [transaction for transaction in self.record.open if transaction.new]
        if isinstance(told, Lost) and pending and self.record.asked[max(pending[-1].new)] == asked[-1]:
            told = sorted(pending[-1].new)
        return super()._accepted(asked, told)


class CancelIsAHint(World):
    """Kept where it may be wiped."""

    def cancel(self, a: int, b: int) -> None:
        if not self.record.asked:
            return
        task = a % len(self.record.asked)
        row = self.record.rows[task]
        if row is not None and row.status == "running":
            self.hints.append(("cancelled", task))
            self.promises._cancelled.add(task)
        else:
            super().cancel(a, b)


class _SkewedExpiry(Record):
    skew = 0

    def claim(self, worker: int, agent: int, tools: Sequence[int], limit: int, **more: Any) -> list[Held]:
        skew = self.skew
        self.states = _acts(claim=lambda task, now, by: _claim_by(task, now, by, skew))
        try:
            return super().claim(worker, agent, tools, limit, **more)
        finally:
            self.states = true


def _claim_by(task: State, now: int, worker: int, skew: int) -> State | None:
    return None if task.expires_at <= now + skew else _claim_though_expired(task, now, worker)


class WorkersClockDecides(World):
    record_type = _SkewedExpiry

    def _claim(self, worker: Worker, agent: int, b: int) -> None:
        assert isinstance(self.record, _SkewedExpiry)
        self.record.skew = worker.skew
        super()._claim(worker, agent, b)


class EndsByTheWorkersClock(World):
    def _finish(self, worker: Worker, one: Held, how: int) -> None:
        skew = worker.skew

        def finish(task: State, now: int, fence: int, status: Ran, **more: Any) -> State | None:
            ended = true.finish(task, now, fence, status, **more)
            return ended and ended._replace(finished_at=ended.finished_at and ended.finished_at + skew)

        self.record.states = _acts(finish=finish)
        try:
            super()._finish(worker, one, how)
        finally:
            self.record.states = self.states


class LockSurvivesItsHolder(World):
    def _stand_by(self, number: int) -> None:
        self.keepers[number].active = False


# By the promise that it breaks first.
PLANTED: dict[type[World], tuple[str, ...]] = {
    NoFence: ("P4",),
    EndAfterCancel: ("P2",),
    CancelAfterEnd: ("P2",),
    NoExpiryAtClaim: ("P11",),
    FenceStays: ("P4", "P6"),
    AttemptsWithoutEnd: ("P5",),
    LossIsAnAttempt: ("P5",),
    PoisonWithoutEnd: ("P1",),
    BackOffWithoutEnd: ("P1",),
    ClaimedTwice: ("P2", "P4", "P6"),
    OrphansStay: ("P1",),
    LostClaimsStay: ("P1",),
    LivingAreBuried: ("P6",),
    KeyIgnored: ("P7",),
    BodyIgnored: ("P7",),
    CancelOfAnothers: ("P14",),
    EffectByAttempt: ("P3",),
    ZombieIsTold: ("P8",),
    EventOutsideOfTheTransaction: ("P8",),
    ReaderMisses: ("P8",),
    WakeUpsAreTrusted: ("P1",),
    RemindedOnce: ("P1",),
    DuplicateStartsAgain: ("P2", "P4", "P6"),
    AnsweredBeforeTheCommit: ("P1",),
    CancelIsAHint: ("P10",),
    WorkersClockDecides: ("P1", "P11"),
    EndsByTheWorkersClock: ("P15",),
    LockSurvivesItsHolder: ("P1",),
}
