"""Each deployable by itself: it starts from what it is rendered with, does a piece of its work, and ends in order.

All run in a jail (tests/deploy/jail.py). A start is measured in processor time, up to the first ready answer: how long
that takes on a clock is the business of whatever else the machine does.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from websockets.asyncio.client import connect

from events.base import Event
from events.dead_letters import EventUndelivered
from events.tasks import TaskQueued
from events.users import UserDisabled
from shared import cloud_events
from shared.catalog import all_functions, served_as
from shared.config import Settings
from shared.function import Every, Http, OnEvent, Service, Spec, Tool
from shared.identity import SCOPES, scopes_of
from shared.manifests.deployables import Deployable, deployables
from shared.ports.bus import Bus, WakeUp
from shared.ports.tasks import NewTask, Tasks
from shared.ports.users import Registration, Role
from shared.wiring import Ports
from tests.deploy.alone import Alone, Cluster, answers
from tests.people import FIREFOX, PASSWORD, Place, place

SPECS = all_functions()
ALL = {each.name: each for each in deployables(SPECS)}
ACTIONS = {each.name: each for each in deployables(SPECS, per_action=True) if each.name not in ALL}
ENDPOINTS = [each for each in ALL.values() if each.name != "ui" and isinstance(served_as(each.name)[0].trigger, Http)]
AGENTS = [each for each in ALL.values() if each.name != "ui" and isinstance(served_as(each.name)[0].trigger, Tool)]
CONSUMERS = [
    each for each in ALL.values() if each.name != "ui" and isinstance(served_as(each.name)[0].trigger, OnEvent)
]
LONG_RUNNING = [
    each for each in ALL.values() if each.name != "ui" and isinstance(served_as(each.name)[0].trigger, Service | Every)
]
# One second from nothing to ready is promised; here it is counted in seconds of one processor.
START_CPU_S = 1.0
AT_ONCE = 3

# What an endpoint is sent, where it wants more than its path, and how it answers; all others are sent nothing and do
# not fail.
ACCOUNT = {"email": "new@example.org", "username": "new", "password": PASSWORD, "confirm_password": PASSWORD}
ECHOED = {"message": "a"}
ECHO = {"agent_id": "everything", "task": "echo", "parameters": ECHOED}
SENT: dict[str, tuple[Mapping[str, object] | None, int]] = {
    "auth-create-api-key": ({"name": "k", "scopes": ["tasks:read"]}, 201),
    "auth-login": ({"username": "user-1", "password": PASSWORD}, 200),
    "auth-register": (ACCOUNT, 201),
    "registry-execute-task": (ECHO, 202),
    "schedules-create-schedule": ({**ECHO, "every_s": 3600, "paused": True}, 201),
    "users-change-password": (
        {"current_password": PASSWORD, "new_password": f"{PASSWORD}-2", "confirm_password": f"{PASSWORD}-2"},
        200,
    ),
    "users-update-me": ({"full_name": "Ada"}, 200),
    # The vector service is another process, which is not there.
    "vectors-list-models": (None, 503),
}
# What an agent is asked to do, by its tool's name; an agent that is not here has to answer its wake-up all the same.
ASKED: dict[str, tuple[str, Mapping[str, object]]] = {
    "everything": ("echo", {"message": "a"}),
    "extended-memory": ("save_context", {"project_id": "p", "content": "c", "importance_level": 5}),
    "filesystem": ("write_file", {"path": "/a.txt", "content": "a"}),
    "memory": ("read_graph", {}),
    "memory-bank": ("list_projects", {}),
    "sequential-thinking": ("read_thoughts", {}),
}


@dataclass(frozen=True)
class Person:
    """`ids` by the names that paths have for them."""

    token: str
    ids: Mapping[str, UUID]


@dataclass
class House:
    """The stores, and people on them."""

    cluster: Cluster
    here: Place
    ports: Ports
    hashed: str
    people: int = 0

    async def person(self, role: Role = "user") -> Person:
        """Another one each time, since one endpoint's work is to end its caller's sessions."""
        self.people += 1
        name = f"{role}-{self.people}"
        new = Registration(email=f"{name}@example.org", username=name, password_hash=self.hashed, roles=(role,))
        user_id = (await self.here.users.register(new)).id
        session = await self.here.sessions.start(user_id, self.here.tokens.new_refresh(), call=FIREFOX)
        roles: frozenset[str] = frozenset({role})
        issued = self.here.tokens.issue(
            user_id=user_id, session_id=session.session_id, roles=roles, scopes=scopes_of(roles)
        )
        ids = {"user_id": user_id, "session_id": session.session_id}
        return Person(issued.text, {**ids, "task_id": await self.accepted(user_id, "everything", "echo", ECHOED)})

    async def accepted(self, user_id: UUID, agent: str, tool: str, parameters: Mapping[str, Any]) -> UUID:
        tasks = await self.ports.open(Tasks)
        new = NewTask(user_id=user_id, agent=agent, tool=tool, parameters=dict(parameters))
        (task_id,) = await tasks.accept([new])
        return task_id

    async def status(self, task_id: UUID) -> str:
        found = await self.here.database.fetchval("SELECT status FROM agent_executions WHERE id = $1", task_id)
        return str(found)

    async def until(self, task_id: UUID, status: str) -> None:
        async with asyncio.timeout(60):
            while await self.status(task_id) != status:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _housed(settings: Settings, folder: Path, **stores: str) -> AsyncIterator[House]:
    addresses = {"postgres": settings.postgres_url, "redis": settings.redis_url, **stores}
    cluster = Cluster(folder, addresses)
    # One set of keys, for those who are alone and for us.
    settings = replace(settings, keys_dir=cluster.make_keys(), amqp_url=stores.get("rabbitmq", ""))
    async with place(settings) as here, Ports(settings) as ports:
        yield House(cluster, here, ports, await here.passwords.hash(PASSWORD))


def play(settings: Settings, folder: Path, scenario: Callable[[House], Awaitable[None]], **stores: str) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(400), _housed(settings, folder, **stores) as house:
            await scenario(house)

    asyncio.run(bounded())


@asynccontextmanager
async def started(each: Deployable, house: House) -> AsyncIterator[Alone]:
    """It is ready within its second of processor time; its end is in order, and it has said nothing but JSON."""
    async with Alone(each, house.cluster, house.cluster.folder) as it:
        assert it.start_cpu_s <= START_CPU_S, f"{each.name} took {it.start_cpu_s:.2f} s of CPU to be ready"
        assert await answers(it.port, "/health/live") == 200
        yield it
        await it.drained()


async def each_alone(found: list[Deployable], house: House, work: Callable[[Alone, House], Awaitable[None]]) -> None:
    """All of them, some at once; every failure is told."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(each: Deployable) -> None:
        async with room, started(each, house) as it:
            await work(it, house)

    failures = await asyncio.gather(*map(one, found), return_exceptions=True)
    told = {each.name: repr(failure) for each, failure in zip(found, failures, strict=True) if failure is not None}
    assert told == {}


def _groups(found: list[Deployable]) -> list[Any]:
    ordered = sorted(found, key=lambda each: (each.group, each.name))
    return [pytest.param(list(each), id=group) for group, each in groupby(ordered, lambda each: each.group)]


# --- endpoints -----------------------------------------------------------------------------------------------------


def _roles(scope: str) -> list[Role]:
    return [role for role in get_args(Role) if scope in SCOPES[role]]


def _asks_for_more(spec: Spec, names: list[str]) -> bool:
    """Whether something has to stand in its query."""
    fields = {} if spec.payload is None else spec.payload.model_fields
    return any(field.is_required() and name not in names for name, field in fields.items())


async def _ask(it: Alone, house: House) -> None:
    [spec] = served_as(it.deployable.name)
    names = [part[1:-1] for part in spec.http.path.split("/") if part.startswith("{")]
    scope = spec.http.scope
    person = await house.person("user" if scope is None else _roles(scope)[0])
    path = spec.http.path.format(**{name: person.ids.get(name, "everything") for name in names})
    body, expected = SENT.get(it.deployable.name, (None, None))
    async with it.client(person.token if scope else None) as client:
        if spec.http.path.endswith("/events"):
            async with client.stream("GET", path) as answer:
                assert answer.status_code == 200
                return
        answer = await client.request(spec.http.method, path, json=body)
    assert answer.headers["x-request-id"] and answer.headers["x-content-type-options"] == "nosniff"
    if expected is not None:
        assert answer.status_code == expected, answer.text
    elif scope and spec.http.method == "GET" and person.ids.keys() >= set(names) and not _asks_for_more(spec, names):
        assert answer.status_code == 200, answer.text
    else:
        # Whoever is open to everybody may want another proof.
        refused = (400, 404, 409) if scope else (400, 401)
        assert answer.status_code in (200, 201, 202, 204, 303, *refused), answer.text


@pytest.mark.parametrize("found", _groups(ENDPOINTS))
def test_an_endpoint_starts_alone_answers_and_ends(found: list[Deployable], settings: Settings, tmp_path: Path) -> None:
    play(settings, tmp_path, lambda house: each_alone(found, house, _ask))


def test_a_request_that_was_begun_is_answered_and_no_other_is_let_in(settings: Settings, tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        body, person = json.dumps(ECHO).encode(), await house.person()
        async with Alone(ALL["registry-execute-task"], house.cluster, tmp_path) as it:
            reader, writer = await asyncio.open_connection("127.0.0.1", it.port)
            head = (
                "POST /api/v1/agents/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                f"Authorization: Bearer {person.token}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body[:5])
            await writer.drain()
            # The answer to another on the same process says that the first is being read.
            assert await answers(it.port, "/health/live") == 200
            it.terminate()
            async with asyncio.timeout(30):
                while await answers(it.port, "/health/live") is not None:
                    await asyncio.sleep(0.02)
            assert it.process.returncode is None
            writer.write(body[5:])
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 202"), answer
            await it.drained()

    play(settings, tmp_path, scenario)


def test_a_stream_ends_in_order_when_its_process_does(settings: Settings, tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        async with Alone(ALL["tasks-stream-task-events"], house.cluster, tmp_path) as it:
            person = await house.person()
            path = f"/api/v1/tasks/{person.ids['task_id']}/events"
            async with it.client(person.token) as client, client.stream("GET", path) as answer:
                lines = answer.aiter_lines()
                assert [await anext(lines) for _ in range(2)] == ["retry: 1000", ""]
                it.terminate()
                async with asyncio.timeout(30):
                    # To its last chunk: one that is cut off raises.
                    _ = [line async for line in lines]
            await it.drained()

    play(settings, tmp_path, scenario)


# --- agents --------------------------------------------------------------------------------------------------------


def _wake_up(agent: str) -> tuple[bytes, dict[str, str]]:
    event = TaskQueued(agent=agent, wanted=1)
    envelope = cloud_events.envelope(event, source="/functions/keep", subject=agent, agent=agent)
    return cloud_events.encode(envelope), {"content-type": cloud_events.STRUCTURED}


async def _wake(it: Alone, house: House) -> None:
    specs = served_as(it.deployable.name)
    agent = specs[0].agent
    tool, parameters = ASKED.get(agent, (None, {}))
    task_id = None
    if tool in [spec.tool.name for spec in specs]:
        task_id = await house.accepted((await house.person()).ids["user_id"], agent, str(tool), parameters)
    content, headers = _wake_up(agent)
    async with it.client() as client:
        answer = await client.post("/", content=content, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    if task_id is not None:
        row = await house.here.database.fetchrow("SELECT status, error FROM agent_executions WHERE id = $1", task_id)
        assert row is not None
        assert (row["status"], row["error"]) == ("succeeded", None)


@pytest.mark.parametrize("found", [pytest.param([each], id=each.name) for each in AGENTS])
def test_an_agent_starts_alone_does_a_task_and_ends(
    found: list[Deployable], settings: Settings, tmp_path: Path
) -> None:
    play(settings, tmp_path, lambda house: each_alone(found, house, _wake))


def _one_action_of_each() -> list[Deployable]:
    """They differ in nothing but the one module that they serve; that all can be served is for tests/test_ff.py."""
    by_agent: dict[str, Deployable] = {}
    for each in ACTIONS.values():
        [spec] = served_as(each.name)
        if spec.tool.name == ASKED.get(spec.agent, (spec.tool.name,))[0]:
            by_agent.setdefault(spec.agent, each)
    return list(by_agent.values())


def test_an_action_starts_alone_does_a_task_and_ends(settings: Settings, tmp_path: Path) -> None:
    play(settings, tmp_path, lambda house: each_alone(_one_action_of_each(), house, _wake))


def test_an_agent_that_is_told_to_end_ends_what_it_has_begun_and_begins_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    async def scenario(house: House) -> None:
        async with Alone(ALL["everything"], house.cluster, tmp_path) as it, it.client() as client:
            user_id = (await house.person()).ids["user_id"]
            slow = {"duration": 3, "steps": 3}
            begun = await house.accepted(user_id, "everything", "trigger-long-running-operation", slow)
            content, headers = _wake_up("everything")
            waking = asyncio.create_task(client.post("/", content=content, headers=headers))
            await house.until(begun, "running")
            it.terminate()
            async with asyncio.timeout(30):
                while await answers(it.port, "/health/live") is not None:
                    await asyncio.sleep(0.02)
            late = await house.accepted(user_id, "everything", "echo", ECHOED)
            assert (await waking).status_code == 204
            assert (await house.status(begun), await house.status(late)) == ("succeeded", "queued")
            await it.drained()

    play(settings, tmp_path, scenario)


def test_a_task_that_outlasts_the_grace_of_its_agents_end_is_handed_back_for_another(
    settings: Settings, tmp_path: Path
) -> None:
    async def scenario(house: House) -> None:
        async with Alone(ALL["everything"], house.cluster, tmp_path) as it, it.client() as client:
            user_id = (await house.person()).ids["user_id"]
            longer = {"duration": 60, "steps": 60}
            begun = await house.accepted(user_id, "everything", "trigger-long-running-operation", longer)
            content, headers = _wake_up("everything")
            waking = asyncio.create_task(client.post("/", content=content, headers=headers))
            await house.until(begun, "running")
            it.terminate()
            # What Kubernetes leaves between SIGTERM and SIGKILL.
            assert await it.ended(within_s=60) in (0, -signal.SIGTERM), it.said()
            await asyncio.gather(waking, return_exceptions=True)
        row = await house.here.database.fetchrow(
            "SELECT status, attempt, worker_id, error FROM agent_executions WHERE id = $1", begun
        )
        assert row is not None and (row["status"], row["worker_id"], row["error"]) == ("queued", None, None)
        async with Alone(ALL["everything"], house.cluster, tmp_path / "another") as another, another.client() as client:
            waking = asyncio.create_task(client.post("/", content=content, headers=headers))
            await house.until(begun, "running")
            await another.kill()
            await asyncio.gather(waking, return_exceptions=True)

    play(settings, tmp_path, scenario)


# --- events, sockets, what runs by itself ---------------------------------------------------------------------------


def _sample(spec: Spec, person: Person) -> Event:
    """Data of the event that it consumes: all of ours name a user."""
    assert isinstance(spec.trigger, OnEvent)
    if spec.trigger.event is EventUndelivered:
        event = UserDisabled(user_id=person.ids["user_id"])
        lost = cloud_events.envelope(event, source="/functions/test", subject="s", user_id=event.user_id)
        return EventUndelivered(consumer="tasks-cancel-tasks-of-disabled-user", event=lost)
    ids = {name: person.ids.get(name, uuid4()) for name in spec.trigger.event.model_fields}
    return spec.trigger.event.model_validate(ids)


async def _tell(it: Alone, house: House) -> None:
    [spec] = served_as(it.deployable.name)
    person = await house.person()
    event = _sample(spec, person)
    envelope = cloud_events.envelope(event, source="/functions/test", subject="s")
    headers = {"content-type": cloud_events.STRUCTURED}
    async with it.client() as client:
        answer = await client.post("/", content=cloud_events.encode(envelope), headers=headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await client.post("/", content=b"no event", headers=headers)).status_code == 400
    if it.deployable.name == "tasks-cancel-tasks-of-disabled-user":
        assert await house.status(person.ids["task_id"]) == "cancelled"


def test_a_consumer_of_events_starts_alone_does_its_work_and_ends(settings: Settings, tmp_path: Path) -> None:
    play(settings, tmp_path, lambda house: each_alone(CONSUMERS, house, _tell))


def test_sockets_start_alone_answer_and_are_told_when_it_ends(settings: Settings, tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        async with (
            Alone(ALL["realtime-serve-socket"], house.cluster, tmp_path) as it,
            connect(f"ws://127.0.0.1:{it.port}/ws", proxy=None) as wire,
        ):
            person = await house.person()
            await wire.send(json.dumps({"type": "auth", "token": person.token}))
            ready = json.loads(await wire.recv())
            assert (ready["type"], ready["user_id"]) == ("ready", str(person.ids["user_id"]))
            it.terminate()
            async with asyncio.timeout(30):
                await wire.wait_closed()
            # Service restart: clients connect again.
            assert wire.close_code == 1012
            await it.drained()

    play(settings, tmp_path, scenario)


def test_the_keeper_starts_alone_wakes_agents_and_ends(settings: Settings, tmp_path: Path, amqp_url: str) -> None:
    async def scenario(house: House) -> None:
        heard = asyncio.Event()

        def hear(wake_up: WakeUp) -> None:
            if wake_up.agent == "everything":
                heard.set()

        bus = await house.ports.open(Bus)
        async with bus.waking(["everything"], hear), started(ALL["keeper-keep"], house) as it, asyncio.timeout(60):
            await heard.wait()
            async with it.client() as client:
                while 'sutazai_queue_depth{agent="everything"}' not in (await client.get("/metrics")).text:
                    await asyncio.sleep(0.05)

    play(settings, tmp_path, scenario, rabbitmq=amqp_url)


def test_the_connector_starts_alone_hands_on_wake_ups_and_ends(
    settings: Settings, tmp_path: Path, amqp_url: str
) -> None:
    async def scenario(house: House) -> None:
        asked: asyncio.Queue[str] = asyncio.Queue()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            asked.put_nowait(head.split(" ")[1])
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        functions = {"SUTAZAI_FUNCTION_URL": f"http://127.0.0.1:{port}/function/{{name}}"}
        house.cluster = replace(house.cluster, environ=functions)
        async with server, started(ALL["connector-connect"], house), asyncio.timeout(60):
            await (await house.ports.open(Bus)).wake([WakeUp("everything", 1)])
            while await asked.get() != "/function/everything":
                pass

    play(settings, tmp_path, scenario, rabbitmq=amqp_url)


@pytest.mark.parametrize(
    "name",
    [
        each.name
        for each in LONG_RUNNING
        if each.name not in ("keeper-keep", "connector-connect", "vectors-serve-vectors")
    ],
)
def test_what_runs_every_so_often_starts_alone_takes_its_turn_and_ends(
    name: str, settings: Settings, tmp_path: Path, amqp_url: str
) -> None:
    async def scenario(house: House) -> None:
        [spec] = served_as(name)
        taken = "SELECT count(*) FROM turns WHERE name = $1"
        async with started(ALL[name], house), asyncio.timeout(60):
            while isinstance(spec.trigger, Every) and not await house.here.database.fetchval(taken, name):
                await asyncio.sleep(0.02)

    play(settings, tmp_path, scenario, rabbitmq=amqp_url)


def test_the_vector_service_starts_alone_is_ready_once_it_has_caught_up_and_ends(
    settings: Settings, tmp_path: Path, amqp_url: str
) -> None:
    async def scenario(house: House) -> None:
        # Its engines and what they are made of take their time; whoever asks meanwhile is answered from the record.
        async with Alone(ALL["vectors-serve-vectors"], house.cluster, tmp_path) as it:
            assert it.start_cpu_s <= 5 * START_CPU_S
            assert await answers(it.port, "/health/live") == 200
            async with it.client() as client:
                assert (await client.post("/search", content=b"")).status_code == 401
                assert (await client.get("/metrics")).text.endswith("\nsutazai_queue_depth 0\n")
            await it.drained()

    play(settings, tmp_path, scenario, rabbitmq=amqp_url)


def test_the_ui_starts_alone_shows_its_page_and_ends(settings: Settings, tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        # Streamlit alone takes half of a second and more.
        async with Alone(ALL["ui"], house.cluster, tmp_path) as it:
            assert it.start_cpu_s <= 3 * START_CPU_S
            for path in ("/health/live", "/health/ready"):
                assert await answers(it.port, path) == 200
            async with it.client() as client:
                page = await client.get("/")
                assert page.status_code == 200 and "<title>" in page.text
            async with connect(f"ws://127.0.0.1:{it.port}/_stcore/stream", proxy=None) as wire:
                it.terminate()
                async with asyncio.timeout(30):
                    await wire.wait_closed()
            await it.drained()

    play(settings, tmp_path, scenario)


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [*ALL.values(), *ACTIONS.values()], ids=lambda each: each.name)
def test_every_deployable_is_served_under_its_name(each: Deployable) -> None:
    if each.name == "ui":
        assert each.args == ("serve", "ui")
        return
    specs = served_as(each.name)
    agents = {spec.agent for spec in specs if isinstance(spec.trigger, Tool)}
    assert [spec.deployed for spec in specs] == [each.name] or agents == {each.name}


# --- what is missing -----------------------------------------------------------------------------------------------


def _ended(each: Deployable, cluster: Cluster, folder: Path) -> tuple[int, str]:
    async def scenario() -> tuple[int, str]:
        it = Alone(each, cluster, folder)
        with pytest.raises(AssertionError, match="did not become ready"):
            await it.__aenter__()
        return await it.ended(), it.errors.read_text()

    return asyncio.run(scenario())


@pytest.mark.parametrize("name", ["users-get-me", "filesystem", "keeper-keep"])
def test_without_the_address_of_its_record_it_says_so_in_a_line_and_ends(name: str, tmp_path: Path) -> None:
    status, said = _ended(ALL[name], Cluster(tmp_path, {}), tmp_path)
    assert (status, said.count("\n")) == (78, 1)
    assert said.startswith("sutazai: SUTAZAI_POSTGRES_URL is not set")


def test_without_a_key_it_makes_none_that_nobody_else_has(settings: Settings, tmp_path: Path) -> None:
    stores = {"postgres": settings.postgres_url, "redis": settings.redis_url}
    status, said = _ended(replace(ALL["users-get-me"], keys=("signing",)), Cluster(tmp_path, stores), tmp_path)
    assert (status, said.count("\n")) == (78, 1) and "SUTAZAI_KEYS_DIR" in said


def test_without_its_key_the_ui_says_so_in_a_line_and_ends(tmp_path: Path) -> None:
    status, said = _ended(replace(ALL["ui"], keys=()), Cluster(tmp_path, {}), tmp_path)
    assert (status, said.count("\n")) == (78, 1) and "SUTAZAI_UI_KEY_FILE" in said


def test_while_the_record_is_away_it_lives_and_is_not_ready(settings: Settings, tmp_path: Path) -> None:
    async def scenario() -> None:
        away = Cluster(tmp_path, {"postgres": "postgresql://u:secret@127.0.0.1:1/x", "redis": settings.redis_url})
        async with Alone(ALL["everything"], away, tmp_path, probe="/health/live") as it:
            assert await answers(it.port, "/health/ready") == 503
            assert "secret" not in it.said()
            await it.drained()

    asyncio.run(scenario())
