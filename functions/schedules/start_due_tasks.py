"""Every second: a task for each run whose time has come, once."""

import asyncio
import logging
from contextlib import suppress

from functions.schedules._runs import check_owner, due_runs, later, task_of
from shared.errors import RateLimited, SutazaiError, Unavailable
from shared.function import every
from shared.ports.schedules import Planned, Schedules, Turn
from shared.ports.tasks import Tasks

logger = logging.getLogger("sutazai.schedules")

BATCH = 50


@every(1, timeout_s=60)
async def start_due_tasks(*, schedules: Schedules, tasks: Tasks) -> None:
    """A run is keyed by its time, so whoever repeats it, after a crash or at the same moment, gets the same task."""
    while planned := await schedules.take_due(BATCH):
        await asyncio.gather(*(_take_turn(one, schedules, tasks) for one in planned))


async def _take_turn(planned: Planned, schedules: Schedules, tasks: Tasks) -> None:
    """What goes wrong with one schedule stays with it; where nothing can be written, it is free again in seconds."""
    try:
        await schedules.settle(planned, await _turn(planned, tasks))
    except Unavailable as exc:
        logger.warning("the turn of schedule %s: %s", planned.schedule.id, exc)
    except Exception as exc:
        logger.exception("the turn of schedule %s failed", planned.schedule.id)
        said = exc if isinstance(exc, SutazaiError) else SutazaiError("something went wrong on our side")
        with suppress(Unavailable):
            await schedules.settle(planned, later(planned, said))


async def _turn(planned: Planned, tasks: Tasks) -> Turn:
    schedule, task_id = planned.schedule, None
    assert schedule.next_run_at is not None
    following = schedule.recurrence.following(schedule.next_run_at, planned.now)
    times, said = due_runs(planned)
    try:
        check_owner(planned)
    except SutazaiError as exc:
        return Turn(next_run_at=following, error=f"it did not run: {exc.message}", refused=True)
    for number, at in enumerate(times):
        try:
            [task_id] = await tasks.accept([task_of(planned, key=f"schedule {schedule.id} {at.isoformat()}")])
        except (RateLimited, Unavailable) as exc:
            # Before the first one nothing has been decided: the next turn sees the plan as this one did.
            return later(planned, exc, since=at if number else None, task_id=task_id)
    return Turn(next_run_at=following, task_id=task_id, error=said)
