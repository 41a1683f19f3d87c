"""For tests: users with schedules, a clock that SQL turns back, and the turns of a keeper."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar, cast
from uuid import UUID, uuid4

from functions.schedules.create_schedule import CreateSchedule, create_schedule
from functions.schedules.get_schedule import GetSchedule, get_schedule
from functions.schedules.start_due_tasks import start_due_tasks
from functions.schedules.update_schedule import UpdateSchedule, update_schedule
from shared.config import Settings
from shared.errors import Unavailable
from shared.function import Caller
from shared.identity import scopes_of
from shared.ports.schedules import Schedule, Schedules
from shared.ports.tasks import NewTask, Tasks
from shared.ports.users import Registration, Role, Users
from shared.stores.postgres.database import Database
from shared.wiring import Ports

T = TypeVar("T")
ECHO: dict[str, object] = {"agent_id": "everything", "task": "echo", "parameters": {"message": "hello"}}


@dataclass(frozen=True)
class Desk:
    """One process with the real stores."""

    schedules: Schedules
    tasks: Tasks
    users: Users
    database: Database

    async def user(self, name: str = "ada", *roles: Role) -> Caller:
        roles = roles or ("user",)
        new = Registration(email=f"{name}@example.org", username=name, password_hash="", roles=roles)
        user = await self.users.register(new)
        held = frozenset[str](user.roles)
        return Caller(user_id=user.id, session_id=uuid4(), roles=held, scopes=scopes_of(held))

    async def create(self, caller: Caller, **asked: object) -> Schedule:
        when = {} if "cron" in asked or "every_s" in asked else {"every_s": 3600}
        request = CreateSchedule.model_validate({**ECHO, **when, **asked})
        return await create_schedule(request, caller=caller, schedules=self.schedules)

    async def get(self, caller: Caller, schedule: Schedule) -> Schedule:
        return await get_schedule(GetSchedule(schedule_id=schedule.id), caller=caller, schedules=self.schedules)

    async def change(self, caller: Caller, schedule: Schedule, **asked: object) -> Schedule:
        request = UpdateSchedule.model_validate({"schedule_id": schedule.id, **asked})
        return await update_schedule(request, caller=caller, schedules=self.schedules)

    async def now(self) -> datetime:
        moment: datetime = await self.database.fetchval("SELECT now()")
        return moment

    async def late(self, schedule: Schedule, seconds: float) -> datetime:
        """Since when it has been due then."""
        moment: datetime = await self.database.fetchval(
            "UPDATE schedules SET next_run_at = now() - make_interval(secs => $2) WHERE id = $1 RETURNING next_run_at",
            schedule.id,
            seconds,
        )
        return moment

    async def released(self) -> None:
        """Lets go what a runner holds that has died, and ends back-offs."""
        await self.database.execute("UPDATE schedules SET not_before = NULL")

    async def turn(self, accepts: "Accepts | None" = None) -> None:
        await start_due_tasks(schedules=self.schedules, tasks=cast(Tasks, accepts or self.tasks))

    async def made(self, owner: Caller) -> list[UUID]:
        """The tasks of a user, oldest first."""
        rows = await self.database.fetch(
            "SELECT id FROM agent_executions WHERE user_id = $1 ORDER BY created_at, idempotency_key", owner.user_id
        )
        return [row["id"] for row in rows]

    async def acts(self) -> list[tuple[str, str]]:
        """The audit trail of schedules, oldest first."""
        rows = await self.database.fetch(
            "SELECT action, outcome FROM audit_log WHERE action LIKE 'schedules.%' ORDER BY id"
        )
        return [(row["action"].removeprefix("schedules."), row["outcome"]) for row in rows]


class Accepts(Protocol):
    """As much of Tasks as schedules need."""

    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]: ...


class Dying:
    """Tasks of a process that dies right after it has accepted one: whether it got to know is anyone's guess."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]:
        await self._tasks.accept(tasks)
        raise asyncio.CancelledError


class Refusing:
    """Tasks that take only so many, and no schedule's of whom they do not like."""

    def __init__(self, tasks: Tasks, refusal: Exception, *, takes: int = 0, only: UUID | None = None) -> None:
        self._tasks = tasks
        self._refusal = refusal
        self._takes = takes
        self._only = only

    async def accept(self, tasks: Sequence[NewTask]) -> list[UUID]:
        if self._only in (None, tasks[0].user_id):
            if self._takes <= 0:
                raise self._refusal
            self._takes -= 1
        return await self._tasks.accept(tasks)


AWAY = Unavailable("the database cannot be reached now")


def at_desk(settings: Settings, scenario: Callable[[Desk], Awaitable[T]]) -> T:
    async def play() -> T:
        async with asyncio.timeout(60), Ports(settings) as ports:
            return await scenario(
                Desk(
                    schedules=await ports.open(Schedules),
                    tasks=await ports.open(Tasks),
                    users=await ports.open(Users),
                    database=await ports.open(Database),
                )
            )

    return asyncio.run(play())
