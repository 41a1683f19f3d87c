"""Tasks on the whole platform, and on an agent's app: what was accepted ends, once, whoever is killed meanwhile."""

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from shared.catalog import actions_of
from shared.config import Settings
from shared.ports.tasks import NewTask, Tasks
from shared.serve import App
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.chaos.ledger_origin import Origin, origin
from tests.people import place
from tests.system.platform import REPOSITORY, Client, Platform

T = TypeVar("T")
RESULTS = "('task.succeeded.v1', 'task.failed.v1', 'task.cancelled.v1', 'task.expired.v1')"


@pytest.fixture(scope="module")
def outside() -> Iterator[Origin]:
    """A stranger's server, in a thread of its own."""
    loop, here = asyncio.new_event_loop(), origin()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(here.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(here.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def platform(outside: Origin) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-delivery-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_EGRESS_ALLOW=f"127.0.0.1:{outside.port}") as platform:
            yield platform


def play(platform: Platform, scenario: Callable[[Client], Awaitable[T]], *, within_s: float = 45) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(within_s), Client(platform.api) as client:
            return await scenario(client)

    return asyncio.run(bounded())


@asynccontextmanager
async def record(platform: Platform) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(platform.postgres_url, server_settings={"search_path": "sutazai"})
    try:
        yield connection
    finally:
        await connection.close()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """What happens in another process can only be asked for again and again; the caller's deadline bounds it."""
    while not await holds():
        await asyncio.sleep(0.02)


async def running(client: Client, task_id: str) -> None:
    async def begun() -> bool:
        return bool((await client.task(task_id))["status"] == "running")

    await until(begun)


async def worker_of(platform: Platform, task_id: str) -> int:
    """The process that runs a task."""
    async with record(platform) as connection:
        held = "SELECT worker_id FROM agent_executions WHERE id = $1"
        slot = await connection.fetchval(f"SELECT slot FROM workers WHERE id = ({held})", UUID(task_id))
    [pid] = [
        pid
        for pid in platform.pids()["worker"]
        if f"SUTAZAI_WORKER_SLOT={slot}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    ]
    return pid


async def effects(platform: Platform, ids: list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """By execution: how many effects it left, and how many results were announced."""
    async with record(platform) as connection:
        left = await connection.fetch("SELECT execution_id::text AS id, count(*) AS n FROM ledger GROUP BY 1")
        results = f"SELECT subject AS id, count(*) AS n FROM events WHERE type IN {RESULTS} GROUP BY 1"
        ended = await connection.fetch(results)
    found = [{row["id"]: row["n"] for row in rows if row["id"] in ids} for rows in (left, ended)]
    return found[0], found[1]


# --- the whole platform --------------------------------------------------------------------------------------------


def test_a_task_whose_worker_is_killed_is_done_within_five_seconds(platform: Platform, outside: Origin) -> None:
    async def scenario(client: Client) -> None:
        asked = {"duration_ms": 1500, "url": outside.url}
        task_id = str((await client.execute("everything", "ledger", asked))["task_id"])
        await running(client, task_id)
        platform.kill(await worker_of(platform, task_id))
        task = await client.ended(task_id, within_s=5)
        assert (task["status"], task["attempts"], task["losses"]) == ("succeeded", 1, 1)
        assert task["result"]["first"] is True and task["result"]["url_status"] == 200
        assert await effects(platform, [task_id]) == ({task_id: 1}, {task_id: 1})
        assert outside.keys[task_id] == {f"{task_id}:effect"}
        assert [event["sequence"] for event in task["events"]] == [1, 2, 3, 4, 5]
        assert [event["type"] for event in task["events"]] == [
            "task.submitted.v1",
            "task.started.v1",
            "task.requeued.v1",
            "task.started.v1",
            "task.succeeded.v1",
        ]

    play(platform, scenario)


def test_the_neighbours_of_a_killed_process_are_done_too(platform: Platform, outside: Origin) -> None:
    async def scenario(client: Client) -> None:
        ids = [(await client.execute("everything", "ledger", {"duration_ms": 800}))["task_id"] for _ in range(10)]
        await running(client, ids[-1])
        for pid in platform.pids()["worker"]:
            platform.kill(pid)
        tasks = [await client.ended(task_id, within_s=10) for task_id in ids]
        assert [task["status"] for task in tasks] == ["succeeded"] * 10
        once = dict.fromkeys(ids, 1)
        assert await effects(platform, ids) == (once, once)

    play(platform, scenario)


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


def test_wake_ups_that_come_five_times_and_late_change_nothing(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        async with record(platform) as connection:
            done = asyncio.Event()

            async def pester() -> None:
                while not done.is_set():
                    wake_up = "'[\"everything\", ' || n || ']'"
                    await connection.execute(
                        f"SELECT pg_notify('sutazai_wake', {wake_up}) FROM generate_series(1, 5) n"
                    )
                    await asyncio.sleep(0.005)

            pestering = asyncio.create_task(pester())
            ledger = {"agent_id": "everything", "task": "ledger"}
            body = [{**ledger, "parameters": {"duration_ms": n % 50}} for n in range(100)]
            answer = await client.http.post("/api/v1/agents/execute", json={"tasks": body})
            ids = [task["task_id"] for task in answer.json()["data"]["tasks"]]
            tasks = [await client.ended(task_id) for task_id in ids]
            done.set()
            await pestering
        assert [(task["status"], task["attempts"], task["losses"]) for task in tasks] == [("succeeded", 1, 0)] * 100
        once = dict.fromkeys(ids, 1)
        assert await effects(platform, ids) == (once, once)

    play(platform, scenario)


def test_a_process_that_a_tool_ends_takes_nobody_with_it(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        before = platform.pids()["worker"]
        slow = {"duration_ms": 1000}
        neighbours = [(await client.execute("everything", "ledger", slow))["task_id"] for _ in range(8)]
        crash = (await client.execute("everything", "ledger-crash", {"failure": "exit", "fail_attempts": 1}))["task_id"]
        await running(client, neighbours[-1])
        poisoned = await client.ended(crash)
        assert (poisoned["status"], poisoned["attempts"], poisoned["losses"]) == ("succeeded", 2, 0)
        tasks = [await client.ended(task_id) for task_id in neighbours]
        assert [(task["status"], task["attempts"], task["losses"]) for task in tasks] == [("succeeded", 1, 0)] * 8
        assert platform.pids()["worker"] == before

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
        hanging = _forked()
        assert hanging
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
