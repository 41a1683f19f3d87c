"""A worker: claims tasks of its agents, runs them, and stays alive in the record while it does."""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self
from uuid import UUID

from shared.children import Children, runs_in_child
from shared.config import Settings
from shared.dialogue import SILENT, Dialogue
from shared.errors import Unavailable
from shared.function import Spec
from shared.ids import new_id
from shared.perform import RunContext, perform
from shared.ports.limits import Limits
from shared.ports.signals import Signals
from shared.ports.tasks import Claimed, NewTask, Outcome, Queue, TaskError
from shared.strict_json import Json
from shared.tool_limits import count_call
from shared.watched import WatchedRun, Watcher
from shared.wiring import Ports

logger = logging.getLogger("sutazai.worker")

BEAT_S = 1.0
PROGRESS_S = 0.25
DRAIN_S = 20.0
BATCH = 16
# How often what failed since the record was away is run once more in the same attempt.
_MORE_RUNS = 3
# Some room for the rest of the request that a wake-up came in.
BUDGET_S = 240.0


_CALLER_LOST = Outcome("failed", error=TaskError(code="CALLER_LOST", message="caller lost", retryable=True))
_CANCELLED = Outcome("cancelled", error=TaskError(code="CANCELLED", message="the task was cancelled"))


@dataclass(slots=True)
class _Held:
    task: Claimed
    run: RunContext
    work: "asyncio.Task[None] | asyncio.Task[Outcome]"


@dataclass(frozen=True, slots=True)
class _Claim:
    """`is_full`: there may be more; `passed_over`: what would run alone was left, since there was no room for it."""

    tasks: Sequence[Claimed] = ()
    is_full: bool = False
    passed_over: bool = False


class Worker:
    """Use as an async context: on leaving it drains, and what is left goes back into the queue."""

    def __init__(self, actions: Sequence[Spec], *, ports: Ports) -> None:
        self._actions = {(spec.agent, spec.tool.name): spec for spec in actions}
        self.agents = sorted({spec.agent for spec in actions})
        self._ports = ports
        self._settings: Settings = ports.settings
        self._children = Children(actions, size=self._settings.children)
        self._opened: dict[str, dict[str, object]] = {}
        self._held: dict[UUID, _Held] = {}
        # By agent, how many claims that are under way may bring.
        self._may_come_alone: Counter[str] = Counter()
        # By the record: the next beat.
        self._taken = asyncio.Event()
        self._stopping = False
        self._leave_at = 0.0
        self._id: UUID
        self._queue: Queue

    async def __aenter__(self) -> Self:
        self._queue = await self._ports.open(Queue)
        signals = await self._ports.open(Signals)
        for spec in self._actions.values():
            if not runs_in_child(spec):
                self._opened[spec.module] = await self._ports.of(spec)
        self._children.warm()
        try:
            self._id = await self._join(cold_start_ms=process_age_ms())
        except BaseException:
            await self._children.close()
            raise
        self._loops = [
            asyncio.create_task(loop) for loop in (self._beat(), self._write_progress(), self._hear_cancels(signals))
        ]
        return self

    def stop(self) -> None:
        """Claims nothing more; what runs by now has the drain's time to end, counted from here."""
        if not self._stopping:
            self._stopping = True
            self._leave_at = time.monotonic() + DRAIN_S

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        works = [held.work for held in self._held.values()]
        if works:
            await asyncio.wait(works, timeout=max(self._leave_at - time.monotonic(), 0))
        for task in (*self._loops, *works):
            task.cancel()
        await asyncio.gather(*self._loops, *works, return_exceptions=True)
        await self._children.close()
        with contextlib.suppress(Unavailable):
            await self._queue.leave(self._id)

    def tools(self, agent: str) -> list[str]:
        return [tool for owner, tool in self._actions if owner == agent]

    async def drain(self, agent: str, *, budget_s: float = BUDGET_S, slots: int | None = None) -> int:
        """Claims and runs until nothing is claimable or the budget is spent; returns how many were run.

        Raises Unavailable when the record cannot be reached.
        """
        slots = slots or self._settings.worker_tasks
        until = time.monotonic() + budget_s
        mine: set[asyncio.Task[None]] = set()
        done = 0
        try:
            while not self._stopping and time.monotonic() < until:
                claim = await self._claim(agent, slots - len(mine))
                mine.update(map(self._start, claim.tasks))
                done += len(claim.tasks)
                if claim.is_full:
                    continue
                # Only the end of one of mine is news; whoever has taken the room to run alone claims when it is free.
                if not mine:
                    break
                _, mine = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if mine:
                await asyncio.wait(mine)
        return done

    async def follow(self, agent: str, woken: asyncio.Event, *, full: Callable[[str], object] = lambda _: None) -> None:
        """Claims whenever it is woken and has room, until cancelled: one slow task holds up no other.

        `full` is told when a claim has taken the last of its room, or of that to run alone: others may have some.
        """
        slots = self._settings.worker_tasks
        mine: set[asyncio.Task[None]] = set()
        passed_over = False

        def ended(work: asyncio.Task[None]) -> None:
            # Only where there was no room has something been left behind.
            if len(mine) >= slots or passed_over:
                woken.set()
            mine.discard(work)

        while True:
            await woken.wait()
            woken.clear()
            try:
                while not self._stopping and (free := slots - len(mine)) > 0:
                    claim = await self._claim(agent, free)
                    for work in map(self._start, claim.tasks):
                        mine.add(work)
                        work.add_done_callback(ended)
                    if claim.passed_over and not passed_over:
                        full(agent)
                    passed_over = claim.passed_over
                    if not claim.is_full:
                        break
                    if len(mine) >= slots:
                        full(agent)
            except Unavailable:
                await asyncio.sleep(0.5)
                woken.set()

    async def _claim(self, agent: str, free: int) -> "_Claim":
        """What is to run alone waits in the queue for that: in here it would be lost again when this worker dies."""
        if not (wanted := min(free, BATCH)):
            return _Claim()
        held = sum(held.task.losses > 0 and held.task.agent == agent for held in self._held.values())
        alone = max(min(wanted, self._children.most_alone - held - self._may_come_alone[agent]), 0)
        limit = alone or wanted
        self._may_come_alone[agent] += alone
        try:
            tasks = await self._queue.claim(self._id, agent, self.tools(agent), limit, lost=alone > 0)
        finally:
            self._may_come_alone[agent] -= alone
        return _Claim(tasks, is_full=len(tasks) == limit, passed_over=not alone)

    async def attached(
        self,
        spec: Spec,
        user_id: UUID,
        parameters: Mapping[str, Json],
        *,
        dialogue: Dialogue = SILENT,
        watcher: Watcher | None = None,
    ) -> tuple[UUID, Outcome]:
        """Runs an action for a caller who waits. Reads leave one row, everything else is recorded before it starts.

        What ends with a question or goes on as a task leaves none where it has had no effect yet. Raises RateLimited.
        """
        if spec.tool.limit_per_minute is not None:
            await count_call(await self._ports.open(Limits), spec, user_id)
        new = NewTask(
            user_id=user_id,
            agent=spec.agent,
            tool=spec.tool.name,
            parameters=parameters,
            timeout_ms=int(spec.timeout_s * 1000),
            max_attempts=1,
            dialogue=dialogue,
        )
        if spec.tool.effect == "read" or (spec.tool.detaches and dialogue.detachable):
            return await self._attached_read(spec, new, watcher)
        task = await self._attach(new)
        return task.id, await self._attached_write(spec, task, dialogue, watcher)

    async def _attach(self, new: NewTask) -> Claimed:
        """A caller who leaves while the row is written leaves none that waits for somebody to miss it."""
        attaching = asyncio.create_task(self._queue.attach(self._id, new))
        try:
            return await asyncio.shield(attaching)
        except asyncio.CancelledError:
            await asyncio.wait([attaching])
            if attaching.exception() is None:
                await asyncio.shield(self._finish(attaching.result(), _CALLER_LOST))
            raise

    async def _attached_read(self, spec: Spec, new: NewTask, watcher: Watcher | None) -> tuple[UUID, Outcome]:
        run = _run(new.user_id, new_id(), 1, new.dialogue, watcher)
        began = time.perf_counter()
        try:
            if runs_in_child(spec):
                outcome = await self._perform(spec, _unrecorded(run.execution_id, new), run, spec.timeout_s)
            else:
                outcome = await self._performed(spec, new.parameters, run, spec.timeout_s, False)
        except asyncio.CancelledError:
            lost = self._queue.record(new, _CALLER_LOST, time.perf_counter() - began, task_id=run.execution_id)
            await asyncio.shield(lost)
            raise
        if outcome.asks is None and not outcome.detaches:
            await self._queue.record(new, outcome, time.perf_counter() - began, task_id=run.execution_id)
        return run.execution_id, outcome

    async def _attached_write(self, spec: Spec, task: Claimed, dialogue: Dialogue, watcher: Watcher | None) -> Outcome:
        run = _run(task.user_id, task.id, task.attempt, dialogue, watcher)
        outcome = _CALLER_LOST
        work = asyncio.create_task(self._perform(spec, task, run, _timeout_s(spec, task)))
        held = self._hold(task, run, work)
        try:
            await asyncio.wait([work])
            # Whoever has cancelled the task has written that; else it is we who end.
            outcome = _CALLER_LOST if work.cancelled() else work.result()
        finally:
            work.cancel()
            # Nobody comes back to an attached row: whoever answers calls anew.
            final = outcome if outcome.asks is None else replace(outcome, asks=None)
            finishing = asyncio.create_task(self._finish(task, final))
            # Until its end is written it is held, or it would be taken for one that nobody knows of.
            finishing.add_done_callback(lambda _: self._let_go(held))
            written = await asyncio.shield(finishing)
        return outcome if written else await self._as_recorded(task, outcome)

    async def _as_recorded(self, task: Claimed, outcome: Outcome) -> Outcome:
        """It had ended before: by somebody else, or by a writing of ours whose answer was lost."""
        status = await self._queue.status(task)
        if status in (None, "cancelled"):
            return _CANCELLED
        return outcome if status == outcome.status else _CALLER_LOST

    def _start(self, task: Claimed) -> "asyncio.Task[None]":
        run = RunContext(task.user_id, task.id, task.attempt, dialogue=task.dialogue)
        work = asyncio.create_task(self._work(task, run))
        held = self._hold(task, run, work)
        work.add_done_callback(lambda _: self._let_go(held))
        return work

    def _hold(self, task: Claimed, run: RunContext, work: "asyncio.Task[None] | asyncio.Task[Outcome]") -> _Held:
        held = self._held[task.id] = _Held(task, run, work)
        return held

    def _let_go(self, held: _Held) -> None:
        """It may have been lost and claimed here again, under another fence."""
        if self._held.get(held.task.id) is held:
            del self._held[held.task.id]

    async def _work(self, task: Claimed, run: RunContext) -> None:
        spec = self._actions[task.agent, task.tool]
        timeout_s = _timeout_s(spec, task)
        until = time.monotonic() + timeout_s
        outcome = await self._perform(spec, task, run, timeout_s)
        for _ in range(_MORE_RUNS):
            if not (outcome.record_away and await self._record_answers(until)):
                break
            outcome = await self._perform(spec, task, run, until - time.monotonic())
        if run.latest is not None and outcome.status != "succeeded":
            with contextlib.suppress(Unavailable):
                await self._queue.progress(task, *run.latest)
        await self._finish(task, outcome)

    async def _record_answers(self, until: float) -> bool:
        """Waits for the next beat that it takes: by then it is known whether the task is still ours."""
        try:
            async with asyncio.timeout(until - time.monotonic()):
                return await self._taken.wait()
        except TimeoutError:
            return False

    async def _perform(self, spec: Spec, task: Claimed, run: RunContext, timeout_s: float) -> Outcome:
        # What a worker died under may kill the next one too: it runs where it takes nobody with it.
        alone = task.losses > 0
        if alone or runs_in_child(spec):
            return await self._children.run(spec, task, run, timeout_s=timeout_s, alone=alone)
        attempts_left = task.attempt < task.max_attempts
        return await self._performed(spec, task.parameters, run, timeout_s, attempts_left)

    async def _performed(
        self, spec: Spec, parameters: Mapping[str, Json], run: RunContext, timeout_s: float, attempts_left: bool
    ) -> Outcome:
        ports = self._opened[spec.module]
        return await perform(spec, parameters, run=run, ports=ports, timeout_s=timeout_s, attempts_left=attempts_left)

    async def _finish(self, task: Claimed, outcome: Outcome) -> bool:
        """Tries for as long as the task may still be ours: an outcome that is not recorded costs another run."""
        while True:
            try:
                written = await self._queue.finish(task, outcome)
                if not written:
                    logger.info("task %s had moved on; its outcome was dropped", task.id)
                return written
            except Unavailable:
                await asyncio.sleep(0.2)

    async def _beat(self) -> None:
        while True:
            # Joining counts as the first one: a replica that was woken for a call does nothing else before it.
            await asyncio.sleep(BEAT_S)
            try:
                async with asyncio.timeout(BEAT_S * 2):
                    lost = await self._queue.beat(self._id, [held.task for held in self._held.values()])
                if lost is None:
                    await self._rejoin()
                else:
                    self._drop(lost)
                self._taken.set()
                self._taken = asyncio.Event()
            except (Unavailable, TimeoutError):
                logger.warning("no beat: the record cannot be reached")
            except Exception:
                # Without beats it would be declared dead, and would never claim again.
                logger.exception("a beat has failed")

    async def _rejoin(self) -> None:
        """Declared dead, while it was stopped or cut off: all it holds belongs to others now."""
        logger.warning("this worker was declared dead; it starts anew")
        self._drop(list(self._held))
        self._id = await self._join()

    async def _join(self, *, cold_start_ms: float | None = None) -> UUID:
        return await self._queue.join(self.agents, slot=self._settings.worker_slot, cold_start_ms=cold_start_ms)

    def _drop(self, ids: Sequence[UUID]) -> None:
        for task_id in ids:
            if held := self._held.get(task_id):
                held.work.cancel()

    async def _hear_cancels(self, signals: Signals) -> None:
        """The beat finds cancelled tasks too; this only makes it quick."""

        def hear(payload: str | None) -> None:
            self._drop([task_id for task_id in self._held if payload and str(task_id) in payload])

        async with signals.listening("cancelled", hear):
            await asyncio.Event().wait()

    async def _write_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            for held in list(self._held.values()):
                if latest := held.run.latest:
                    held.run.latest = None
                    with contextlib.suppress(Unavailable):
                        await self._queue.progress(held.task, *latest)


def _run(user_id: UUID, id: UUID, attempt: int, dialogue: Dialogue, watcher: Watcher | None) -> RunContext:
    if watcher is None:
        return RunContext(user_id, id, attempt, dialogue=dialogue)
    return WatchedRun(user_id, id, attempt, dialogue=dialogue, watcher=watcher)


def _timeout_s(spec: Spec, task: Claimed) -> float:
    return min(spec.timeout_s, task.timeout_ms / 1000)


def _unrecorded(task_id: UUID, new: NewTask) -> Claimed:
    return Claimed(
        user_id=new.user_id,
        id=task_id,
        agent=new.agent,
        tool=new.tool,
        parameters=dict(new.parameters),
        timeout_ms=new.timeout_ms,
        attempt=1,
        max_attempts=1,
        losses=0,
        fence=0,
    )


def process_age_ms() -> float | None:
    """Since this process was started, from the kernel's clock; None where there is no /proc."""
    try:
        started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None
    return (time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")) * 1000
