"""The tasks extension: handles of durable tasks, what becomes of them, and what they ask on their way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest

from shared.catalog import actions_of
from shared.config import Settings
from shared.mcp.tasks import poll_ms
from shared.ports.tasks import NewTask, Tasks
from shared.serve import App
from shared.wiring import Ports
from tests.mcp.served import META, Served, error_of, result_of, serving
from tests.mcp.working import fixtures, keeping, working
from tests.people import CURL

__all__ = ["fixtures"]

T = TypeVar("T")

EXTENSION = "io.modelcontextprotocol/tasks"
MISSING, PARAMS, UNKNOWN = -32021, -32602, -32601
TASKS: dict[str, Any] = {"extensions": {EXTENSION: {}}}
ASKABLE: dict[str, Any] = {**TASKS, "elicitation": {}}
ENDED = ("completed", "failed", "cancelled")
STAMPS = ("createdAt", "lastUpdatedAt")

pytestmark = pytest.mark.usefixtures("fixtures")


async def send(served: Served, method: str, can: dict[str, Any] = ASKABLE, **params: Any) -> httpx.Response:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": can}
    named = {"mcp-name": str(name)} if (name := params.get("taskId", params.get("name"))) is not None else {}
    return await served.modern(method, {**params, "_meta": meta}, named)


async def call(served: Served, name: str, can: dict[str, Any] = ASKABLE, **arguments: Any) -> dict[str, Any]:
    return result_of(await send(served, "tools/call", can, name=name, arguments=arguments))


async def get(served: Served, task_id: str, can: dict[str, Any] = ASKABLE) -> dict[str, Any]:
    return result_of(await send(served, "tasks/get", can, taskId=task_id))


async def until(served: Served, task_id: str, *statuses: str) -> dict[str, Any]:
    """The task once it is in one of these states."""
    async with asyncio.timeout(30):
        while (task := await get(served, task_id))["status"] not in statuses:
            await asyncio.sleep(0.05)
    return task


async def answer(served: Served, task_id: str, **answers: Any) -> dict[str, Any]:
    return result_of(await send(served, "tasks/update", taskId=task_id, inputResponses=answers))


def accepted(**content: Any) -> dict[str, Any]:
    return {"action": "accept", "content": content}


def bare(result: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from call to call."""
    return {key: value for key, value in result.items() if key not in (*STAMPS, "pollIntervalMs", "taskId", "_meta")}


def at(settings: Settings, scenario: Callable[[Served], Awaitable[T]], *, works: bool = True) -> T:
    """One agent served, within a minute; where it `works`, by another replica than the one that is asked."""

    async def play() -> T:
        async with asyncio.timeout(60), serving(settings) as served:
            if not works:
                return await scenario(served)
            async with keeping(settings), working(settings):
                return await scenario(served)

    return asyncio.run(play())


def test_the_extension_is_declared_to_clients_of_this_revision_only(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, Any]:
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
        found = result_of(await served.modern("server/discover"))
        return found["capabilities"], result_of(await served.legacy("initialize", hello))["capabilities"]

    modern, legacy = at(settings, scenario, works=False)
    assert modern["extensions"] == {EXTENSION: {}}
    assert "tasks" not in modern and "tasks" not in legacy and "extensions" not in legacy


def test_a_call_that_may_take_long_is_answered_with_a_durable_handle(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[dict[str, Any], dict[str, Any], Any]:
        created = await call(served, "slow_compute", seconds=0, label="a")
        row = await served.here.database.fetchrow("SELECT id::text, status, attached FROM agent_executions")
        return created, await get(served, created["taskId"]), dict(row or {})

    created, found, row = at(settings, scenario, works=False)
    assert row == {"id": created["taskId"], "status": "queued", "attached": False}
    handle = {"status": "working", "ttlMs": 86_400_000}
    assert bare(created) == {"resultType": "task", **handle}
    assert bare(found) == {"resultType": "complete", **handle}
    assert all(created[stamp].endswith("Z") and created[stamp] == found[stamp] for stamp in STAMPS)


@pytest.mark.parametrize("age_s, expected", [(-5, 1000), (0, 1000), (60, 6000), (86_400, 30_000)])
def test_the_older_a_task_the_less_often_is_it_to_be_looked_at(age_s: float, expected: int) -> None:
    suggested = poll_ms(datetime.now(UTC) - timedelta(seconds=age_s))
    assert abs(suggested - expected) < 100


def test_an_ended_task_says_what_the_call_would_have_been_answered(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[dict[str, Any], dict[str, Any]]:
        arguments: dict[str, Any] = {"seconds": 0, "label": "a"}
        at_once = await call(served, "slow_compute", {}, **arguments)
        created = await call(served, "slow_compute", **arguments)
        return at_once, await until(served, created["taskId"], *ENDED)

    at_once, task = at(settings, scenario)
    assert task["status"] == "completed"
    assert task["result"] == {"content": [{"type": "text", "text": "a took 0 s"}], "isError": False}
    assert (at_once["content"], at_once["isError"]) == (task["result"]["content"], False)
    assert "taskId" not in at_once


def test_a_tool_that_fails_completes_its_task_and_one_that_breaks_fails_it(settings: Settings) -> None:
    async def scenario(served: Served) -> list[dict[str, Any]]:
        names = ("failing_job", "protocol_error_job")
        created = [await call(served, name) for name in names]
        return [bare(await until(served, one["taskId"], *ENDED)) for one in created]

    common = {"resultType": "complete", "ttlMs": 86_400_000}
    said = "something went wrong in this tool"
    assert at(settings, scenario) == [
        {
            **common,
            "status": "completed",
            "result": {"content": [{"type": "text", "text": "this job always fails"}], "isError": True},
        },
        {**common, "status": "failed", "statusMessage": said, "error": {"code": -32603, "message": said}},
    ]


def test_a_task_asks_its_client_and_goes_on_with_the_answer(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        task_id = (await call(served, "confirm_delete", filename="a.txt"))["taskId"]
        asking = await until(served, task_id, "input_required", *ENDED)
        ack = await answer(served, task_id, confirm=accepted(confirm=True))
        return asking, bare(ack), await until(served, task_id, *ENDED)

    asking, ack, ended = at(settings, scenario)
    assert (asking["status"], list(asking["inputRequests"])) == ("input_required", ["confirm"])
    assert asking["inputRequests"]["confirm"] == {
        "method": "elicitation/create",
        "params": {
            "message": "Delete 'a.txt'?",
            "requestedSchema": {
                "type": "object",
                "properties": {"confirm": {"type": "boolean"}},
                "required": ["confirm"],
            },
        },
    }
    assert ack == {"resultType": "complete"}
    assert ended["result"]["content"][0]["text"] == "'a.txt' would be deleted"
    assert "inputRequests" not in ended


def test_questions_are_answered_one_by_one_and_each_once(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        task_id = (await call(served, "multi_input"))["taskId"]
        both = await until(served, task_id, "input_required", *ENDED)
        await answer(served, task_id, name=accepted(name="Ada"), unheard_of=accepted())
        left = await get(served, task_id)
        await answer(served, task_id, name=accepted(name="Bob"))
        await answer(served, task_id, confirm={"action": "decline"})
        ended = await until(served, task_id, *ENDED)
        late = await answer(served, task_id, confirm=accepted(confirm=True))
        return [*both["inputRequests"]], [*left["inputRequests"]], ended["result"]["content"][0]["text"], bare(late)

    ack = {"resultType": "complete"}
    assert at(settings, scenario) == (["name", "confirm"], ["confirm"], "Ada is not sure", ack)


def test_what_is_no_answer_is_refused_and_the_question_stays(settings: Settings) -> None:
    bad: list[Any] = [
        None,
        [],
        {"confirm": None},
        {"confirm": {}},
        {"confirm": {"action": "maybe"}},
        {"confirm": {"action": "accept", "content": [1]}},
    ]

    async def scenario(served: Served) -> tuple[Any, ...]:
        task_id = (await call(served, "confirm_delete", filename="a.txt"))["taskId"]
        await until(served, task_id, "input_required", *ENDED)
        refused = [
            error_of(await send(served, "tasks/update", taskId=task_id, inputResponses=answers)) for answers in bad
        ]
        return refused, (await get(served, task_id))["status"]

    assert at(settings, scenario) == ([(400, PARAMS, 7)] * len(bad), "input_required")


def test_whoever_cannot_answer_is_not_asked(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        mute = (await call(served, "confirm_delete", TASKS, filename="a.txt"))["taskId"]
        ended = await until(served, mute, "input_required", *ENDED)
        task_id = (await call(served, "confirm_delete", filename="a.txt"))["taskId"]
        await until(served, task_id, "input_required", *ENDED)
        return ended["result"], await get(served, task_id, TASKS)

    refused, hidden = at(settings, scenario)
    assert refused["isError"] and "'elicitation'" in refused["content"][0]["text"]
    assert (hidden["status"], hidden["inputRequests"]) == ("input_required", {})


def test_a_cancelled_task_is_cancelled_and_cancelling_it_again_changes_nothing(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        created = [
            (await call(served, "slow_compute", seconds=60, label="a"))["taskId"],
            (await call(served, "confirm_delete", filename="a.txt"))["taskId"],
            (await call(served, "slow_compute", seconds=0, label="b"))["taskId"],
        ]
        await until(served, created[1], "input_required")
        await until(served, created[2], *ENDED)
        acks = [bare(result_of(await send(served, "tasks/cancel", taskId=one))) for one in [*created, created[0]]]
        return acks, [(await until(served, task_id, *ENDED))["status"] for task_id in created]

    acks, statuses = at(settings, scenario)
    assert acks == [{"resultType": "complete"}] * 4
    assert statuses == ["cancelled", "cancelled", "completed"]


def test_tasks_of_others_of_other_agents_and_of_nobody_are_unknown(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        task_id = (await call(served, "slow_compute", seconds=0, label="a"))["taskId"]
        caller = await served.here.database.fetchval("SELECT user_id FROM agent_executions")
        async with Ports(settings) as ports:
            elsewhere = NewTask(user_id=caller, agent="memory", tool="read_graph", parameters={})
            [other_agents] = await (await ports.open(Tasks)).accept([elsewhere])
        await served.here.register("bob")
        bob = replace(served, token=(await served.here.login("bob", call=CURL)).access_token)
        strange = (str(uuid4()), "nothing", str(other_agents), task_id.upper())
        asked = [*((served, one) for one in strange), (bob, task_id)]
        methods: dict[str, dict[str, Any]] = {"get": {}, "cancel": {}, "update": {"inputResponses": {}}}
        return [
            error_of(await send(who, f"tasks/{method}", taskId=one, **more))
            for who, one in asked
            for method, more in methods.items()
        ], (await get(served, task_id))["status"]

    errors, status = at(settings, scenario, works=False)
    assert (errors, status) == ([(400, PARAMS, 7)] * 15, "working")


def test_whoever_has_not_declared_the_extension_gets_answers_and_no_tasks(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        legacy_only: dict[str, Any] = {"tasks": {"requests": {"tools": {"call": {}}}}}
        result = await call(served, "slow_compute", legacy_only, seconds=0, label="a")
        refused = [await send(served, f"tasks/{name}", {}, taskId=str(uuid4())) for name in ("get", "update", "cancel")]
        refused.append(await send(served, "tools/call", {}, name="failing_job", arguments={}))
        return result, refused, await served.rows()

    result, refused, rows = at(settings, scenario, works=False)
    assert result["resultType"] == "complete" and "taskId" not in result
    assert [error_of(answer) for answer in refused] == [(400, MISSING, 7)] * 4
    assert [answer.json()["error"]["data"] for answer in refused] == [
        {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
    ] * 4
    assert rows == [("slow_compute", "succeeded", "")]


def test_methods_of_the_older_tasks_are_unknown_and_their_parameter_is_ignored(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        gone = [error_of(await send(served, method, taskId=str(uuid4()))) for method in ("tasks/result", "tasks/list")]
        params: dict[str, Any] = {"name": "greet", "arguments": {"name": "Ada"}, "task": {"ttl": 60_000}}
        greeted = result_of(await send(served, "tools/call", **params))
        older = result_of(await served.legacy("tools/call", {**params, "name": "greet"}))
        return gone, greeted["content"], older["content"], error_of(await served.legacy("tasks/get", {"taskId": "a"}))

    hello = [{"type": "text", "text": "Hello, Ada!"}]
    gone = [(404, UNKNOWN, 7)] * 2
    assert at(settings, scenario, works=False) == (gone, hello, hello, (200, UNKNOWN, 7))


def test_a_tool_that_asks_first_becomes_a_task_once_it_is_answered(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        params: dict[str, Any] = {"name": "test_tool_with_task", "arguments": {}}
        asked = result_of(await send(served, "tools/call", **params))
        before = await served.rows()
        said = {"inputResponses": {"user_name": accepted(name="Alice")}, "requestState": asked["requestState"]}
        created = result_of(await send(served, "tools/call", **params, **said))
        return asked, before, created, await until(served, created["taskId"], *ENDED), await served.rows()

    asked, before, created, ended, rows = at(settings, scenario)
    assert (asked["resultType"], [*asked["inputRequests"]], before) == ("input_required", ["user_name"], [])
    assert "taskId" not in asked
    assert created["resultType"] == "task" and not {"requestState", "inputRequests"} & created.keys()
    assert ended["result"]["content"][0]["text"] == "Hello, Alice!"
    assert rows == [("test_tool_with_task", "succeeded", "")]


def test_a_task_that_did_not_begin_in_its_time_has_failed(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        task_id = (await call(served, "slow_compute", seconds=0, label="a"))["taskId"]
        late = "expires_at = now() - interval '1 s', created_at = now() - interval '1 day'"
        await served.here.database.execute(f"UPDATE agent_executions SET {late}")
        async with keeping(settings):
            ended = await until(served, task_id, *ENDED)
        return ended["status"], ended["error"]["code"], ended["statusMessage"] == ended["error"]["message"]

    assert at(settings, scenario, works=False) == ("failed", -32603, True)


def test_the_same_key_gives_the_same_task(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        async def keyed(seconds: int) -> httpx.Response:
            meta = {**META, "io.modelcontextprotocol/clientCapabilities": TASKS}
            params = {"name": "slow_compute", "arguments": {"seconds": seconds}, "_meta": meta}
            return await served.modern("tools/call", params, {"idempotency-key": "once"})

        first, again, other = [await keyed(seconds) for seconds in (0, 0, 1)]
        same = result_of(first)["taskId"] == result_of(again)["taskId"]
        return same, error_of(other), len(await served.rows())

    assert at(settings, scenario, works=False) == (True, (422, 422, 7), 1)


def test_a_task_header_that_differs_from_the_body_is_refused(settings: Settings) -> None:
    async def scenario(served: Served) -> tuple[Any, ...]:
        task_id = (await call(served, "slow_compute", seconds=0, label="a"))["taskId"]
        params = {"taskId": task_id, "_meta": {**META, "io.modelcontextprotocol/clientCapabilities": TASKS}}
        headers: list[dict[str, str | None]] = [{"mcp-name": str(uuid4())}, {"mcp-name": None}]
        return tuple([error_of(await served.modern("tasks/get", params, header)) for header in headers])

    assert at(settings, scenario, works=False) == ((400, -32020, 7), (400, -32020, 7))


@asynccontextmanager
async def replica(served: Served, settings: Settings) -> AsyncIterator[Served]:
    app = App(actions_of(served.agent), settings=settings)
    async with app.running(), httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        yield replace(served, app=app, http=http)


def test_a_task_of_one_replica_is_known_to_every_other(settings: Settings) -> None:
    async def play() -> tuple[str, str]:
        async with asyncio.timeout(60), serving(settings) as here, keeping(settings), working(settings):
            task_id = (await call(here, "confirm_delete", filename="a.txt"))["taskId"]
            await until(here, task_id, "input_required")
            async with replica(here, settings) as there:
                await answer(there, task_id, confirm={"action": "cancel"})
                ended = await until(there, task_id, *ENDED)
            return ended["status"], ended["result"]["content"][0]["text"]

    assert asyncio.run(play()) == ("completed", "'a.txt' would be kept")
