"""Tasks where the whole platform ends, and on an agent's app: what was accepted ends, once."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest

from shared.catalog import actions_of
from shared.config import Settings
from shared.errors import RecordAway
from shared.ports.tasks import Claimed, NewTask, Outcome, Tasks
from shared.serve import App
from shared.stores.postgres.database import Database
from shared.stores.postgres.ledger import PostgresLedger
from shared.stores.postgres.queue import PostgresQueue
from shared.wiring import Ports
from tests.ledger_origin import Origin, origin_in_thread
from tests.people import place
from tests.system.platform import REPOSITORY, Client, Platform
from tests.system.tasks import effects, play, running

T = TypeVar("T")


@pytest.fixture(scope="module")
def outside() -> Iterator[Origin]:
    with origin_in_thread() as outside:
        yield outside


@pytest.fixture(scope="module")
def platform(outside: Origin) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-delivery-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_EGRESS_ALLOW=f"127.0.0.1:{outside.port}") as platform:
            yield platform


# --- the whole platform --------------------------------------------------------------------------------------------


def test_killing_everything_at_once_loses_nothing(platform: Platform, outside: Origin) -> None:
    async def submit(client: Client) -> list[str]:
        asked = [{"duration_ms": 30 * n, "url": outside.url} for n in range(30)]
        ids = [str((await client.execute("everything", "ledger", one))["task_id"]) for one in asked]
        assert None in [(await client.task(task_id))["finished_at"] for task_id in ids]
        return ids

    ids = play(platform, submit)
    platform.kill_everything()
    platform.start()

    async def scenario(client: Client) -> None:
        tasks = [await client.ended(task_id, within_s=15) for task_id in ids]
        assert [task["status"] for task in tasks] == ["succeeded"] * 30
        once = dict.fromkeys(ids, 1)
        assert await effects(platform, ids) == (once, once)
        assert [outside.keys[task_id] for task_id in ids] == [{f"{task_id}:effect"} for task_id in ids]

    play(platform, scenario)


def test_down_lets_what_runs_come_to_its_end(platform: Platform) -> None:
    async def submit(client: Client) -> str:
        task_id = str((await client.execute("everything", "ledger", {"duration_ms": 1500}))["task_id"])
        await running(client, task_id)
        return task_id

    task_id = play(platform, submit)
    down = subprocess.run(
        [sys.executable, "-m", "functions", "down"],
        env={**os.environ, "SUTAZAI_HOME": str(platform.home)},
        cwd=REPOSITORY,
        timeout=40,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (down.returncode, down.stdout) == (0, "stopped\n")
    assert platform.pids() == {}
    platform.stop()
    platform.start()

    async def scenario(client: Client) -> None:
        task = await client.task(task_id)
        assert (task["status"], task["attempts"], task["losses"]) == ("succeeded", 1, 0)
        assert await effects(platform, [task_id]) == ({task_id: 1}, {task_id: 1})

    play(platform, scenario)


# --- an agent's app ------------------------------------------------------------------------------------------------


@dataclass
class Agent:
    """The app that holds an agent's actions, and the user whose tasks it runs."""

    http: httpx.AsyncClient
    settings: Settings
    tasks: Tasks
    database: Database
    user: UUID = field(default_factory=uuid4)

    async def log_in(self) -> None:
        """For calls over HTTP, in which the user has to be someone."""
        async with place(self.settings) as people:
            self.user = (await people.register("ada")).id
            self.http.headers["authorization"] = f"Bearer {(await people.login('ada')).access_token}"

    async def accept(self, tool: str, parameters: dict[str, Any], **more: Any) -> UUID:
        new = NewTask(user_id=self.user, agent="everything", tool=tool, parameters=parameters, **more)
        [task_id] = await self.tasks.accept([new])
        return task_id

    async def wake(self, *, agent: str = "everything", type: str = "task.queued.v1") -> int:
        data = {"agent": agent, "wanted": 1}
        event = {"specversion": "1.0", "id": str(uuid4()), "source": "/functions/keep", "type": type, "agent": agent}
        answer = await self.http.post(
            "/", json={**event, "data": data}, headers={"Content-Type": "application/cloudevents+json"}
        )
        assert answer.content == b""
        return answer.status_code

    async def status(self, task_id: UUID) -> str:
        task = await self.tasks.get(self.user, task_id)
        assert task is not None
        return task.status

    async def running(self, tool: str) -> UUID:
        """The execution of a tool that runs now, once there is one."""
        while True:
            query = "SELECT id FROM agent_executions WHERE task_id = $1 AND status = 'running'"
            if found := await self.database.fetchval(query, tool):
                return UUID(str(found))
            await asyncio.sleep(0.01)


def with_agent(settings: Settings, scenario: Callable[[Agent], Awaitable[T]]) -> T:
    async def bounded() -> T:
        app = App(actions_of("everything"), settings=settings)
        transport = httpx.ASGITransport(app=app)
        async with (
            asyncio.timeout(30),
            Ports(settings) as ports,
            app.running(),
            httpx.AsyncClient(transport=transport, base_url="http://agent", timeout=None) as client,
        ):
            agent = Agent(client, settings, await ports.open(Tasks), await ports.open(Database))
            return await scenario(agent)

    return asyncio.run(bounded())


def test_a_wake_up_is_answered_once_nothing_is_claimable(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        ids = [await agent.accept("ledger", {}) for _ in range(50)]
        assert await agent.wake() == 204
        assert [await agent.status(task_id) for task_id in ids] == ["succeeded"] * 50
        assert await agent.wake() == 204

    with_agent(settings, scenario)


def test_five_wake_ups_at_once_run_each_task_once(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        for times in range(1, 6):
            ids = [await agent.accept("ledger", {"duration_ms": n % 7}) for n in range(20)]
            assert await asyncio.gather(*(agent.wake() for _ in range(times))) == [204] * times
            rows = await agent.database.fetch(
                "SELECT e.id, e.status, e.attempt, e.fence, (SELECT count(*) FROM ledger l WHERE l.execution_id = e.id)"
                " FROM agent_executions e WHERE e.id = ANY($1)",
                ids,
            )
            assert {tuple(row) for row in rows} == {(task_id, "succeeded", 1, 1, 1) for task_id in ids}

    with_agent(settings, scenario)


@pytest.mark.parametrize("times, ends", [(3, ("succeeded", 1)), (4, ("queued", 1))])
def test_what_failed_since_the_record_was_away_is_run_again_in_the_same_attempt(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, times: int, ends: tuple[str, int]
) -> None:
    """Not without end: what takes the record down with it has no more runs than that."""
    away = iter([RecordAway("away")] * times)
    write = PostgresLedger.write

    async def fails_first(self: PostgresLedger, *effect: Any) -> bool:
        for error in away:
            raise error
        return await write(self, *effect)

    monkeypatch.setattr(PostgresLedger, "write", fails_first)

    async def scenario(agent: Agent) -> None:
        task_id = await agent.accept("ledger", {})
        await agent.wake()
        row = await agent.database.fetchrow("SELECT status, attempt FROM agent_executions WHERE id = $1", task_id)
        assert tuple(row or ()) == ends

    with_agent(settings, scenario)


def test_what_workers_died_under_is_claimed_when_it_can_run_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waited in a worker would be lost again with it, without ever having run."""
    monkeypatch.setenv("SUTAZAI_HOME", str(settings.home))
    monkeypatch.setenv("SUTAZAI_POSTGRES_URL", settings.postgres_url)

    async def scenario(agent: Agent) -> None:
        lost = [await agent.accept("ledger", {"duration_ms": 300}) for _ in range(20)]
        await agent.database.execute("UPDATE agent_executions SET losses = 1")
        fresh = [await agent.accept("ledger", {}) for _ in range(3)]
        waking = [asyncio.create_task(agent.wake()) for _ in range(3)]
        most, fresh_before = 0, -1
        while not all(one.done() for one in waking):
            rows = await agent.database.fetch("SELECT id, status FROM agent_executions")
            running = [row["id"] for row in rows if row["status"] == "running"]
            most = max(most, len(set(running) & set(lost)))
            ended = {row["id"] for row in rows if row["status"] == "succeeded"}
            if fresh_before < 0 and ended.issuperset(fresh):
                fresh_before = len(ended & set(lost))
            await asyncio.sleep(0.005)
        assert [await agent.status(task_id) for task_id in (*lost, *fresh)] == ["succeeded"] * 23
        # Eight of them at once for each child that there may be, and nothing waits behind them.
        assert 1 <= most <= 8
        assert 0 <= fresh_before < len(lost)

    with_agent(replace(settings, children=1), scenario)


@pytest.mark.parametrize("stray", [{"type": "task.succeeded.v1"}, {"agent": "filesystem"}, {"type": "nobody.knows.v9"}])
def test_an_event_that_came_by_mistake_is_taken_and_dropped(settings: Settings, stray: dict[str, str]) -> None:
    async def scenario(agent: Agent) -> None:
        task_id = await agent.accept("ledger", {})
        assert await agent.wake(**stray) == 204
        assert await agent.status(task_id) == "queued"

    with_agent(settings, scenario)


@pytest.mark.parametrize(
    "headers, body",
    [
        ({"Content-Type": "application/cloudevents+json"}, b"{"),
        ({"Content-Type": "application/cloudevents+json"}, b"[]"),
        ({"Content-Type": "application/cloudevents+json"}, b'{"specversion": "1.0", "id": "1", "source": "/"}'),
        (
            {"Content-Type": "application/cloudevents+json"},
            b'{"specversion":"0.3", "id": "1", "source": "/", "type": "t"}',
        ),
        ({"Content-Type": "application/json"}, b'{"agent": "everything"}'),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/"}, b""),
        ({"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/", "ce-type": "t", "Content-Type": "text/plain"}, b"x"),
    ],
)
def test_what_is_no_event_is_refused(settings: Settings, headers: dict[str, str], body: bytes) -> None:
    async def scenario(agent: Agent) -> None:
        answer = await agent.http.post("/", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")

    with_agent(settings, scenario)


def test_a_cancel_reaches_an_action_that_runs(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        slow = {"duration": 60, "steps": 600}
        task_id = await agent.accept("trigger-long-running-operation", slow, timeout_ms=90_000)
        wake_up = asyncio.create_task(agent.wake())
        assert await agent.running("trigger-long-running-operation") == task_id
        cancelled = await agent.tasks.cancel(agent.user, task_id)
        assert cancelled.status == "cancelled"
        # It is answered once nothing runs any more, which would be in a minute.
        async with asyncio.timeout(5):
            assert await wake_up == 204
        assert await agent.status(task_id) == "cancelled"

    with_agent(settings, scenario)


def _children_of(parent: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent:
                found.add(int(entry.name))
    return found


def _forked() -> set[int]:
    """The children in which actions of this process run: what its nursery forked."""
    nurseries = [
        pid for pid in _children_of(os.getpid()) if b"shared.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return {child for nursery in nurseries for child in _children_of(nursery)}


def test_an_action_that_blocks_is_killed_at_its_timeout(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        task_id = await agent.accept("ledger-crash", {"failure": "hang"}, timeout_ms=700)
        wake_up = asyncio.create_task(agent.wake())
        await agent.running("ledger-crash")
        # The first child is forked when it is wanted.
        while not (hanging := _forked()):
            await asyncio.sleep(0.01)
        assert await wake_up == 204
        task = await agent.tasks.get(agent.user, task_id)
        assert task is not None and task.error is not None and task.execution_time is not None
        assert (task.status, task.error.code, task.attempts) == ("failed", "TIMEOUT", 1)
        assert 700 <= task.execution_time < 5000
        while _forked() & hanging:
            await asyncio.sleep(0.01)
        # The next one gets a new child.
        survivor = await agent.accept("ledger-crash", {"failure": "hang", "fail_attempts": 0})
        await agent.wake()
        assert await agent.status(survivor) == "succeeded"

    with_agent(settings, scenario)


def test_a_process_that_never_answers_costs_an_attempt_and_then_the_task(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        task_id = await agent.accept("ledger-crash", {"failure": "exit"}, max_attempts=1)
        await agent.wake()
        task = await agent.tasks.get(agent.user, task_id)
        assert task is not None and task.error is not None
        assert (task.status, task.error.code, task.attempts, task.losses) == ("failed", "SERVICE_UNAVAILABLE", 1, 0)

    with_agent(settings, scenario)


def test_an_action_that_fills_its_memory_fails_alone(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        neighbour = await agent.accept("ledger", {"duration_ms": 500})
        task_id = await agent.accept("ledger-crash", {"failure": "memory"}, max_attempts=1)
        await agent.wake()
        assert [await agent.status(i) for i in (neighbour, task_id)] == ["succeeded", "failed"]

    with_agent(settings, scenario)


def test_an_attached_read_leaves_one_row_that_has_ended(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        await agent.log_in()
        answer = await agent.http.post("/echo", json={"message": "hello"})
        assert answer.status_code == 200
        data = answer.json()["data"]
        task = await agent.tasks.get(agent.user, UUID(data["task_id"]))
        assert task is not None
        assert data == {
            "task_id": str(task.task_id),
            "agent_id": "everything",
            "status": "succeeded",
            "result": task.result,
            "error": None,
        }
        assert (task.status, task.parameters, task.attempts) == ("succeeded", {"message": "hello"}, 1)
        assert [event.type for event in task.events] == ["task.succeeded.v1"]
        rows = await agent.database.fetch("SELECT id, attached FROM agent_executions")
        assert [tuple(row) for row in rows] == [(task.task_id, True)]

    with_agent(settings, scenario)


def test_an_attached_write_is_on_record_before_it_begins(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        await agent.log_in()
        call = asyncio.create_task(agent.http.post("/ledger", json={"duration_ms": 600}))
        task_id = await agent.running("ledger")
        assert not call.done()
        assert await agent.database.fetchval("SELECT count(*) FROM ledger") == 0
        # Nobody else may have it.
        assert await agent.wake() == 204
        data = (await call).json()["data"]
        assert (data["task_id"], data["status"], data["result"]["first"]) == (str(task_id), "succeeded", True)
        task = await agent.tasks.get(agent.user, task_id)
        assert task is not None
        assert [event.type for event in task.events] == ["task.started.v1", "task.succeeded.v1"]
        assert await agent.database.fetchval("SELECT count(*) FROM ledger") == 1

    with_agent(settings, scenario)


def test_a_caller_who_leaves_while_the_row_is_written_leaves_none_that_runs(settings: Settings) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'agent_executions'::regclass"

    async def scenario(agent: Agent) -> None:
        await agent.log_in()
        async with agent.database.transaction() as connection:
            await connection.execute("LOCK TABLE agent_executions IN SHARE MODE")
            call = asyncio.create_task(agent.http.post("/ledger", json={"duration_ms": 30_000}))
            async with asyncio.timeout(30):
                while not await agent.database.fetchval(waiting):
                    await asyncio.sleep(0.01)
            call.cancel()
        await asyncio.wait([call])
        async with asyncio.timeout(30):
            while not (rows := await agent.database.fetch("SELECT status, error->>'code' FROM agent_executions")) or (
                rows[0][0] == "running"
            ):
                await asyncio.sleep(0.01)
        assert [tuple(row) for row in rows] == [("failed", "CALLER_LOST")]

    with_agent(settings, scenario)


def test_a_caller_who_waits_is_told_that_the_task_was_cancelled(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        await agent.log_in()
        call = asyncio.create_task(agent.http.post("/ledger", json={"duration_ms": 30_000}))
        task_id = await agent.running("ledger")
        await agent.tasks.cancel(agent.user, task_id)
        async with asyncio.timeout(5):
            data = (await call).json()["data"]
        assert (data["status"], data["result"], data["error"]["code"]) == ("cancelled", None, "CANCELLED")
        assert await agent.status(task_id) == "cancelled"

    with_agent(settings, scenario)


def test_a_caller_whose_end_was_written_is_told_it_though_that_answer_was_lost(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = PostgresQueue.finish
    lost: list[bool] = []

    async def answered_late(self: PostgresQueue, task: Claimed, outcome: Outcome) -> bool:
        written = await finish(self, task, outcome)
        if written:
            lost.append(written)
            raise RecordAway("cut")
        return written

    monkeypatch.setattr(PostgresQueue, "finish", answered_late)

    async def scenario(agent: Agent) -> None:
        await agent.log_in()
        data = (await agent.http.post("/ledger", json={})).json()["data"]
        assert (data["status"], data["result"]["first"], lost) == ("succeeded", True, [True])

    with_agent(settings, scenario)


def test_a_worker_goes_on_after_a_beat_that_failed_in_any_way(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = PostgresQueue.beat
    failed: list[str] = []

    async def fails_first(self: PostgresQueue, *held: Any) -> list[UUID] | None:
        if not failed:
            failed.append("the disk")
            raise RuntimeError(*failed)
        return await beat(self, *held)

    monkeypatch.setattr(PostgresQueue, "beat", fails_first)

    async def scenario(agent: Agent) -> None:
        # It has beaten since, or three seconds later it would not live any more.
        await asyncio.sleep(4)
        assert await agent.database.fetchval("SELECT count(*) FROM workers WHERE alive_until > now()") == 1
        task_id = await agent.accept("ledger", {})
        assert await agent.wake() == 204
        assert (await agent.status(task_id), failed) == ("succeeded", ["the disk"])

    with_agent(settings, scenario)


def test_a_tools_own_error_is_a_result_and_a_strangers_call_none(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        await agent.log_in()
        answer = await agent.http.post("/ledger", json={"failure": "tool_error"})
        data = answer.json()["data"]
        assert (answer.status_code, data["status"]) == (200, "failed")
        assert data["error"] == {"code": "TOOL_ERROR", "message": "this tool error was asked for", "retryable": False}
        stranger = await agent.http.post("/echo", json={"message": "hello"}, headers={"Authorization": "Bearer x"})
        assert stranger.status_code == 401
        assert await agent.database.fetchval("SELECT count(*) FROM agent_executions") == 1

    with_agent(settings, scenario)


def test_a_full_agent_runs_the_rest_when_slots_are_free(settings: Settings) -> None:
    async def scenario(agent: Agent) -> None:
        ids = [await agent.accept("ledger", {"duration_ms": 20}) for _ in range(9)]
        assert await agent.wake() == 204
        assert [await agent.status(task_id) for task_id in ids] == ["succeeded"] * 9

    with_agent(replace(settings, worker_tasks=2), scenario)
