"""Workers, which claim, run, beat and finish, and die in every way."""

from tests.simulation.keepers import Keepers
from tests.simulation.record import SECOND, Asked, Held
from tests.simulation.stage import AGENTS, ASKS, POISON, POISON_ONCE, SLOTS, WORKERS, Lost, Worker, outcome


class Workers(Keepers):
    def _worker(self, a: int) -> Worker | None:
        """One that runs and has a place in the record."""
        worker = self.workers[a % WORKERS]
        if worker is None or worker.stalled:
            return None
        if not worker.id:
            self._join(worker)
        return worker

    def _join(self, worker: Worker) -> None:
        worker.id = self.record.join()
        self.promises.lives(worker.id, self.record.now)

    def boot(self, a: int, b: int) -> None:
        """In the place of one that died, which its slot declares dead, where it has one."""
        at = a % WORKERS
        if self.workers[at] is None:
            if b & 1 and self.graves[at]:
                self._ask(b >> 4, self.record.bury, self.graves[at], may_stay_open=False)
            self.workers[at] = worker = Worker((0, 1) if b & 2 else (0,))
            # Whoever begins to listen may have missed something.
            worker.woken.update(range(AGENTS) if b & 4 else ())

    def claim(self, a: int, b: int) -> None:
        worker = self._worker(a)
        # A wake-up may be a copy of any that has ever been.
        if worker is not None and len(worker.held) < SLOTS and (worker.woken or b & 12 == 0):
            self._claim(worker, min(worker.woken) if worker.woken else a >> 2 & 1, b)

    def _claim(self, worker: Worker, agent: int, b: int) -> None:
        limit = min(1 + b % 4, SLOTS - len(worker.held))
        # What runs alone may find no room for that.
        lost = b % 5 != 0
        claimed = self._ask(b >> 4, self.record.claim, worker.id, agent, worker.tools, limit, lost=lost)
        if isinstance(claimed, Lost):
            return
        self.promises.told_claimed(worker.id, claimed)
        for one in claimed:
            worker.held[one.task] = one
            worker.outcomes.pop(one.task, None)
        if not claimed and lost:
            worker.woken.discard(agent)

    def attach(self, a: int, b: int) -> None:
        worker = self._worker(a)
        if worker is None or len(worker.held) >= SLOTS:
            return
        asked = Asked(user=b & 1, priority=4, max_attempts=1, ttl=60 * SECOND, script=a & 3)
        one = self._ask(b >> 4, self.record.attach, worker.id, asked, may_stay_open=False)
        if one is not None and not isinstance(one, Lost):
            self.promises.told_claimed(worker.id, [one])
            worker.held[one.task] = one

    def note(self, a: int, b: int) -> None:
        """A read for a caller who waits: one row, written when it is over."""
        asked = Asked(user=b & 1, max_attempts=1)
        error = "TOOL_ERROR" if b & 2 else None
        self._ask(0xF, self.record.note, asked, "failed" if error else "succeeded", took=a * 1000, error=error)

    def work(self, a: int, b: int) -> None:
        """The next thing that one of its tasks needs: its run, or to have its outcome written."""
        worker = self._worker(a)
        if worker is not None and worker.held:
            tasks = list(worker.held)
            self._work(worker, a % WORKERS, tasks[b % len(tasks)], b)

    def _work(self, worker: Worker, at: int, task: int, b: int) -> None:
        one = worker.held[task]
        if task in worker.outcomes:
            self._finish(worker, one, b >> 4)
            return
        script = self.record.asked[task].script
        if script in (POISON, POISON_ONCE) and one.losses == 0 and not worker.stalled:
            self._fault("worker killed by its task")
            self._kill(at)
            return
        if script == ASKS and task not in self.record.answered and not self._is_attached(task):
            self._asks(worker, one, b >> 4)
            return
        first = self.record.effect(one, "effect")
        self.promises.told_effect(one, "effect", first)
        worker.outcomes[task] = outcome(script, one.attempt)

    def _is_attached(self, task: int) -> bool:
        row = self.record.rows[task]
        return row is not None and row.attached

    def _asks(self, worker: Worker, one: Held, how: int) -> None:
        worker.sent.add(one.task)
        self.promises.gives_up(worker.id, one)
        before = self.record.rows[one.task]
        written = self._ask(how, self.record.ask, one, may_stay_open=False)
        if not isinstance(written, Lost):
            self.promises.told_finished(one, before, written)
            worker.drop(one.task)

    def _finish(self, worker: Worker, one: Held, how: int) -> None:
        worker.sent.add(one.task)
        self.promises.gives_up(worker.id, one)
        before = self.record.rows[one.task]
        status, error, back_off = worker.outcomes[one.task]
        written = self._ask(how, self.record.finish, one, status, error=error, back_off=back_off)
        if isinstance(written, Lost):
            return
        self.promises.told_finished(one, before, written)
        if not written:
            self.faults["end refused"] += 1
        worker.drop(one.task)

    def beat(self, a: int, b: int) -> None:
        worker = self._worker(a)
        if worker is None:
            return
        held = list(worker.held.values())
        self.promises.holds(worker.id, [one for one in held if one.task not in worker.sent])
        lost = self._ask(b >> 4, self.record.beat, worker.id, held, may_stay_open=False)
        if isinstance(lost, Lost):
            return
        if lost is None:
            self.faults["worker declared dead while it lived"] += 1
            self.promises.ends(worker.id)
            for task in list(worker.held):
                worker.drop(task)
            self._join(worker)
            return
        self.promises.lives(worker.id, self.record.now)
        for task in lost:
            worker.drop(task)

    def kill(self, a: int, b: int) -> None:
        if self.workers[a % WORKERS] is not None:
            self._fault("worker killed")
            self._kill(a % WORKERS)

    def _kill(self, at: int) -> None:
        worker = self.workers[at]
        assert worker is not None
        self.promises.ends(worker.id)
        self.graves[at], self.workers[at] = worker.id, None

    def crash_loop(self, a: int, b: int) -> None:
        """It boots, claims and dies."""
        self.boot(a, b | 0xF7)
        if (worker := self._worker(a)) is not None and len(worker.held) < SLOTS:
            worker.woken.update(range(AGENTS))
            self._claim(worker, b & 1, b | 0xF0)
            self.kill(a, b)

    def leave(self, a: int, b: int) -> None:
        worker = self._worker(a)
        if worker is not None:
            self.promises.ends(worker.id)
            self._ask(b >> 4, self.record.leave, worker.id, may_stay_open=False)
            self._kill(a % WORKERS)

    def stall(self, a: int, b: int) -> None:
        worker = self.workers[a % WORKERS]
        if worker is not None and not worker.stalled:
            self._fault("worker stopped")
            worker.stalled = True

    def nap(self, a: int, b: int) -> None:
        """For long enough to be declared dead, while others live."""
        busy = [at for at, worker in enumerate(self.workers) if worker is not None and worker.held]
        a = busy[a % len(busy)] if busy else a
        self.stall(a, b)
        for at in (a + 1, a + 2):
            self.beat(at, 0xF0)
        self.record.now += 2 * SECOND
        for at in (a + 1, a + 2):
            self.beat(at, 0xF0)
        self.record.now += 2 * SECOND
        for keeper in self.keepers:
            if keeper.active:
                self.reap(keeper, b)

    def go_on(self, a: int, b: int) -> None:
        """With what it was about to do, mostly before it hears how things are."""
        stopped = [at for at, worker in enumerate(self.workers) if worker is not None and worker.stalled]
        if stopped:
            at = stopped[a % len(stopped)]
            self.workers[at].stalled = False  # type: ignore[union-attr]
            for _ in range(b & 3):
                self.work(at, b)

    def skew(self, a: int, b: int) -> None:
        self._fault("clock skewed")
        by = (b - 128) * SECOND
        if a & 1:
            self.keepers[a >> 1 & 1].skew = by
        elif worker := self.workers[a % WORKERS]:
            worker.skew = by
