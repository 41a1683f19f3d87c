"""For tests of dead letters: the served functions, with an operator logged in and the ports of those who refuse."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx

from events.base import Envelope
from events.users import UserDisabled
from shared.catalog import load, modules
from shared.cloud_events import envelope
from shared.config import Settings
from shared.function import Spec
from shared.ports.dead_letters import DeadLetters
from shared.ports.tasks import NewTask, Outcome, Queue, TaskError, Tasks
from shared.ports.users import Registration, Role, User
from shared.serve import App
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.people import PASSWORD, Place, at

T = TypeVar("T")

PATH = "/api/v1/dead-letters"
# Some function that consumes UserDisabled.
CONSUMER = "tasks-cancel-tasks-of-disabled-user"
GIVEN_UP = Outcome("failed", error=TaskError(code="SERVICE_UNAVAILABLE", message="away for good", retryable=True))


@cache
def _specs() -> tuple[Spec, ...]:
    return tuple(load(name) for name in modules() if name.startswith("functions.dead_letters."))


@dataclass(frozen=True)
class Office:
    here: Place
    letters: DeadLetters
    tasks: Tasks
    queue: Queue
    operator: httpx.AsyncClient
    operator_id: UUID

    @property
    def database(self) -> Database:
        return self.here.database

    async def user(self, name: str, *roles: Role) -> User:
        new = Registration(email=f"{name}@example.org", username=name, password_hash="", roles=roles or ("user",))
        return await self.here.users.register(new)

    async def refused(self, event: Envelope | None = None, *, consumer: str = CONSUMER) -> str:
        """The id of the letter."""
        await self.letters.refuse(consumer, event or disabled(), reason="failed", error="KeyError")
        return await self.newest()

    async def newest(self) -> str:
        return str((await self.all(limit=1))[0]["id"])

    async def given_up(self, owner: UUID, **more: Any) -> tuple[UUID, str]:
        """The ids of a task out of attempts, and of its letter."""
        asked = {"agent": "everything", "tool": "echo", "parameters": {"message": "hello"}, "max_attempts": 1, **more}
        [task_id] = await self.tasks.accept([NewTask(user_id=owner, **asked)])
        worker = await self.queue.join([asked["agent"]], slot=None)
        [held] = await self.queue.claim(worker, asked["agent"], [asked["tool"]], 1)
        assert held.id == task_id and await self.queue.finish(held, GIVEN_UP)
        return task_id, await self.newest()

    async def all(self, **query: Any) -> list[dict[str, Any]]:
        """All pages."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = data_of(await self.operator.get(PATH, params={**query, **cursor}))
            found += page["dead_letters"]
            if page["next_cursor"] is None or query.get("limit") == 1:
                return found
            cursor = {"cursor": page["next_cursor"]}

    async def replay(self, letter_id: str, **headers: str) -> httpx.Response:
        return await self.operator.post(f"{PATH}/{letter_id}/replay", headers=headers)

    async def acts(self) -> list[tuple[str, str, str, str]]:
        """The audit trail of dead letters, oldest first: actor, action, object and outcome."""
        rows = await self.database.fetch(
            "SELECT actor, action, object, outcome FROM audit_log WHERE action LIKE 'dead_letters.%' ORDER BY id"
        )
        return [tuple(row) for row in rows]

    def act(self, action: str, letter_id: str, outcome: str = "done") -> tuple[str, str, str, str]:
        return f"user:{self.operator_id}", f"dead_letters.{action}", f"dead_letter:{letter_id}", outcome


def disabled(user_id: UUID | None = None, *, agent: str | None = None, **changes: Any) -> Envelope:
    user_id = user_id or uuid4()
    event = UserDisabled(user_id=user_id)
    made = envelope(event, source="/functions/update_user", subject=str(user_id), agent=agent, user_id=user_id)
    return made.model_copy(update=changes)


def data_of(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


@asynccontextmanager
async def _office(here: Place, settings: Settings) -> AsyncIterator[Office]:
    hashed = await here.passwords.hash(PASSWORD)
    otto = Registration(email="otto@example.org", username="otto", password_hash=hashed, roles=("operator",))
    operator_id = (await here.users.register(otto)).id
    headers = {"authorization": f"Bearer {(await here.login('otto')).access_token}"}
    app = App(_specs(), settings=settings)
    transport = httpx.ASGITransport(app=app)
    async with (
        Ports(settings) as ports,
        app.running(),
        httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as operator,
    ):
        letters, tasks, queue = await ports.open(DeadLetters), await ports.open(Tasks), await ports.open(Queue)
        yield Office(here, letters, tasks, queue, operator, operator_id)


def in_office(settings: Settings, scenario: Callable[[Office], Awaitable[T]]) -> T:
    async def play(here: Place) -> T:
        async with _office(here, settings) as office:
            return await scenario(office)

    return at(settings, play)
