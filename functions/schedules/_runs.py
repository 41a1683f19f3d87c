"""What a schedule asks for: which of its runs, and each as a task of its owner."""

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from shared.asked import check_asked
from shared.errors import Forbidden, SutazaiError
from shared.identity import scopes_of
from shared.ports.schedules import CatchUp, Planned, Turn
from shared.ports.tasks import NewTask

MOST_MADE_UP = 100
SKIPPED_AFTER = timedelta(seconds=60)
# A turn that comes this late has met a busy second and no outage: nothing counts as missed.
ON_TIME = timedelta(seconds=5)
LONGEST_BACK_OFF_S = 60.0


def due_runs(planned: Planned) -> tuple[list[datetime], str | None]:
    """The times to make runs for, and what to say of those that are dropped."""
    schedule, now = planned.schedule, planned.now
    assert schedule.next_run_at is not None
    times, more = schedule.recurrence.due(schedule.next_run_at, now, most=MOST_MADE_UP)
    wanted = _wanted(schedule.catch_up, schedule.next_run_at, times, now)
    if more and schedule.catch_up == "all":
        said = f"more than {MOST_MADE_UP} runs were missed: those before {times[0].isoformat()} were dropped"
        return wanted, said
    return wanted, None


def _wanted(catch_up: CatchUp, first: datetime, times: list[datetime], now: datetime) -> list[datetime]:
    if catch_up == "skip":
        return [at for at in times if now - at <= SKIPPED_AFTER]
    if catch_up == "once" and now - first > ON_TIME:
        return [first]
    return times


def check_owner(planned: Planned) -> None:
    """Raises Forbidden, NotFound or Invalid where its owner could not ask for this task now."""
    if not planned.is_active:
        raise Forbidden("the owner of the schedule is disabled")
    schedule = planned.schedule
    check_asked(schedule.agent_id, schedule.task, schedule.parameters, scopes=scopes_of(planned.roles))


def task_of(planned: Planned, *, key: str | None) -> NewTask:
    """A key stands for one run, whatever the schedule says by the time it is repeated."""
    schedule = planned.schedule
    return NewTask(
        user_id=schedule.user_id,
        agent=schedule.agent_id,
        tool=schedule.task,
        parameters=schedule.parameters,
        priority=schedule.priority,
        timeout_ms=schedule.timeout,
        key=key,
        digest=hashlib.sha256(schedule.id.bytes).digest() if key else None,
    )


def later(planned: Planned, exc: SutazaiError, *, since: datetime | None = None, task_id: UUID | None = None) -> Turn:
    """What was refused stays due, since then or for as long as before, and is tried again with a back-off."""
    asked = exc.details.get("retry_after")
    least_s = float(asked) if isinstance(asked, int | float) else 0.0
    wait_s = min(max(2.0 ** min(planned.refusals, 10), least_s), LONGEST_BACK_OFF_S)
    due = since or planned.schedule.next_run_at or planned.now
    return Turn(next_run_at=due, task_id=task_id, error=exc.message, retry_in_s=wait_s)
