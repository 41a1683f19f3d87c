"""The judge of all faults must be able to condemn: each promise that is broken on purpose is told as broken."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from shared.config import Settings
from shared.ports.ledger import Ledger
from shared.ports.tasks import NewTask, Outcome, Queue, TaskError, Tasks
from shared.wiring import Ports
from tests.chaos._cluster import recorded
from tests.chaos._work import judged
from tests.ledger_origin import Origin

T = TypeVar("T")
ADA = UUID(int=0xADA)
DONE = Outcome("succeeded", {})
LOST = Outcome("failed", error=TaskError(code="WORKER_LOST", message="its workers died 5 times", retryable=True))


@dataclass(frozen=True)
class _Place:
    url: str

    def record(self) -> AbstractAsyncContextManager[Any]:
        return recorded(lambda: self.url)


async def _ended(ports: Ports, outcome: Outcome) -> str:
    """A task that was run once, and left its effect."""
    tasks, queue, ledger = await ports.open(Tasks), await ports.open(Queue), await ports.open(Ledger)
    [task_id] = await tasks.accept([NewTask(user_id=ADA, agent="everything", tool="ledger", parameters={})])
    worker = await queue.join(["everything"], slot=None)
    [task] = await queue.claim(worker, "everything", ["ledger"], 1)
    await ledger.write(ADA, task_id, "effect", 1)
    assert await queue.finish(task, outcome)
    return str(task_id)


def _play(settings: Settings, scenario: Callable[[Ports, _Place], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30), Ports(settings) as ports:
            return await scenario(ports, _Place(settings.postgres_url))

    return asyncio.run(bounded())


async def _broken(place: _Place, ids: list[str], outside: Origin | None = None, **more: Any) -> dict[str, float]:
    found = await judged(place, ids, outside, **more)
    return {name: target.value for name, target in found.items() if not target.holds}


def test_nothing_is_told_of_what_was_done_once(settings: Settings) -> None:
    async def scenario(ports: Ports, place: _Place) -> None:
        task_id = await _ended(ports, DONE)
        outside = Origin(keys={task_id: {"one"}}, calls={task_id: 1})
        assert await _broken(place, [task_id], outside) == {}

    _play(settings, scenario)


def test_a_task_that_was_given_up_is_told_where_none_or_fewer_may_be(settings: Settings) -> None:
    async def scenario(ports: Ports, place: _Place) -> None:
        ids = [await _ended(ports, LOST), await _ended(ports, DONE)]
        assert await _broken(place, ids) == {"given up after five lost workers": 1}
        assert await _broken(place, ids, given_up=0.4) == {"given up after five lost workers": 1}
        assert await _broken(place, ids, given_up=0.5) == {}

    _play(settings, scenario)


def test_more_outside_calls_than_runs_are_told(settings: Settings) -> None:
    async def scenario(ports: Ports, place: _Place) -> None:
        task_id = await _ended(ports, DONE)
        outside = Origin(keys={task_id: {"one"}}, calls={task_id: 2})
        assert await _broken(place, [task_id], outside) == {"called more often than run": 1}
        assert await _broken(place, [task_id], outside, runs=2) == {}

    _play(settings, scenario)


def test_a_start_that_no_requeue_came_before_is_told(settings: Settings) -> None:
    async def scenario(ports: Ports, place: _Place) -> None:
        task_id = await _ended(ports, DONE)
        again = (
            "INSERT INTO events (type, source, subject, user_id, agent, sequence, data)"
            " SELECT type, source, subject, user_id, agent, 99, data FROM events WHERE type = $1"
        )
        async with place.record() as connection:
            await connection.execute(again, "task.started.v1")
        assert await _broken(place, [task_id]) == {"started otherwise than once and once a requeue": 1}
        async with place.record() as connection:
            await connection.execute(again.replace("SELECT type", "SELECT 'task.requeued.v1'"), "task.submitted.v1")
        assert await _broken(place, [task_id]) == {}

    _play(settings, scenario)


def test_what_leaves_no_effect_owes_none_and_still_has_to_end(settings: Settings) -> None:
    async def scenario(ports: Ports, place: _Place) -> None:
        task_id = await _ended(ports, DONE)
        async with place.record() as connection:
            await connection.execute("DELETE FROM ledger")
        assert await _broken(place, [task_id], Origin()) == {
            "succeeded without an effect": 1,
            "succeeded without an outside call": 1,
        }
        assert await _broken(place, [], Origin(), others=[task_id]) == {}
        assert await _broken(place, [], others=[task_id, str(ADA)]) != {}

    _play(settings, scenario)
