"""POST /api/v1/schedules: a task that comes again, by a cron expression or every so many seconds."""

from functions.schedules._times import Cron, EveryS, Name, Timezone
from shared.asked import Asked, check_asked
from shared.function import Caller, http
from shared.ports.schedules import CatchUp, NewSchedule, Schedule, Schedules
from shared.recurrence import Recurrence


class CreateSchedule(Asked):
    """Exactly one of `cron` and `every_s`. `timeout`, in ms, bounds each run; `catch_up` says what is made up for."""

    name: Name = ""
    cron: Cron | None = None
    every_s: EveryS | None = None
    timezone: Timezone = "UTC"
    catch_up: CatchUp = "once"
    paused: bool = False


@http("POST", "/api/v1/schedules", scope="schedules:write", status=201)
async def create_schedule(request: CreateSchedule, *, caller: Caller, schedules: Schedules) -> Schedule:
    """Missed runs are dropped once they are 60 s late (`skip`), become one (`once`), or all run, 100 at most (`all`).

    It runs with the rights that its owner has by then. A time that summer time leaves out comes right after the gap,
    one that it repeats comes once; with a star for minute or hour it follows the clock.
    """
    check_asked(request.agent_id, request.task, request.parameters, scopes=caller.scopes)
    new = NewSchedule(
        user_id=caller.user_id,
        name=request.name,
        recurrence=Recurrence(request.cron, request.every_s, request.timezone),
        agent=request.agent_id,
        tool=request.task,
        parameters=request.parameters,
        priority=request.priority,
        timeout_ms=request.timeout,
        catch_up=request.catch_up,
        paused=request.paused,
    )
    return await schedules.add(new)
