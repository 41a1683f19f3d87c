"""The API of the running platform as its callers see it, over HTTP."""

import asyncio
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest

from shared.catalog import all_functions
from shared.function import Http, Spec
from shared.identity import SCOPES
from tests.system.platform import PASSWORD, Client, Platform

T = TypeVar("T")
ROUTES = tuple(spec for spec in all_functions() if isinstance(spec.trigger, Http))
PEOPLE = {"ada": "user", "bob": "user", "otto": "operator", "audrey": "auditor", "root": "admin"}
MARK = "only-ada-may-read-this"


@dataclass
class House:
    """The platform with one person for each role, and ada's ids."""

    platform: Platform
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def as_(self, name: str | None) -> httpx.AsyncClient:
        headers = {} if name is None else {"authorization": f"Bearer {self.tokens[name]}"}
        return httpx.AsyncClient(base_url=self.platform.api, headers=headers, timeout=30, trust_env=False)


async def _people(platform: Platform) -> House:
    house = House(platform)
    async with httpx.AsyncClient(base_url=platform.api, timeout=30, trust_env=False) as nobody:
        answer = await nobody.post(
            "/api/v1/auth/login", json={"email": "root@example.org", "password": PASSWORD, "username": None}
        )
        house.tokens["root"] = answer.json()["data"]["access_token"]
    for name, role in PEOPLE.items():
        if name == "root":
            continue
        async with Client(platform.api, name) as client:
            me = (await client.http.get("/api/v1/users/me")).json()["data"]
            if role != "user":
                async with house.as_("root") as root:
                    answer = await root.patch(f"/api/v1/users/{me['id']}", json={"roles": [role]})
                    assert answer.status_code == 200, answer.text
                await client.login()
            house.tokens[name] = client.http.headers["authorization"].removeprefix("Bearer ")
            if name == "ada":
                sessions = (await client.http.get("/api/v1/auth/sessions")).json()["data"]
                task = await client.execute("everything", "echo", {"message": MARK})
                await client.ended(task["task_id"])
                asked = {"agent_id": "everything", "task": "echo", "parameters": {"message": MARK}, "paused": True}
                schedule = await client.http.post("/api/v1/schedules", json={**asked, "every_s": 3600})
                collection, vector = str(uuid4()), {"id": str(uuid4()), "vector": [1, 2], "text": MARK}
                await client.http.post("/api/v1/vectors/collections", json={"name": collection, "dimension": 2})
                written = await client.http.post(
                    "/api/v1/vectors/upsert", json={"collection": collection, "vectors": [vector]}
                )
                assert written.status_code == 200, written.text
                document = await client.http.post("/api/v1/documents", json={"text": MARK, "title": MARK})
                scopes = ["profile:read", "tasks:read"]
                key = await client.http.post("/api/v1/auth/api-keys", json={"name": MARK, "scopes": scopes})
                house.ids = {
                    "schedule_id": schedule.json()["data"]["id"],
                    "task_id": task["task_id"],
                    "user_id": me["id"],
                    "identity_id": str(uuid4()),
                    "letter_id": str(uuid4()),
                    "node_id": task["task_id"],
                    "collection": collection,
                    "vector_id": str(vector["id"]),
                    "document_id": document.json()["data"]["document_id"],
                    "key_id": key.json()["data"]["id"],
                    "session_id": re.findall(r"[0-9a-f-]{36}", json.dumps(sessions))[0],
                }
    return house


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="sutazai-api-") as folder:
        Path(folder).chmod(0o755)
        admin = {"SUTAZAI_ADMIN_EMAIL": "root@example.org", "SUTAZAI_ADMIN_PASSWORD": PASSWORD}
        with Platform(Path(folder) / "home", **admin) as platform:
            yield asyncio.run(_people(platform))


def play(house: House, scenario: Callable[[httpx.AsyncClient], Awaitable[T]], *, name: str | None = "bob") -> T:
    async def bounded() -> T:
        async with asyncio.timeout(60), house.as_(name) as client:
            return await scenario(client)

    return asyncio.run(bounded())


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an error in its envelope."""
    body = answer.json()
    assert body.keys() == {"success", "error", "timestamp", "request_id"} and body["success"] is False
    assert body["error"].keys() == {"code", "message", "details"}
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["error"]["code"]


async def execute(client: httpx.AsyncClient, tool: str, parameters: Any, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"agent_id": "everything", "task": tool, "parameters": parameters, **more}
    return await client.post("/api/v1/agents/execute", json=body, headers=headers)


async def ended(client: httpx.AsyncClient, task_id: str) -> dict[str, Any]:
    while True:
        task: dict[str, Any] = (await client.get(f"/api/v1/tasks/{task_id}")).json()["data"]
        if task["finished_at"]:
            return task
        await asyncio.sleep(0.05)


# --- the envelope --------------------------------------------------------------------------------------------------


def test_an_answer_comes_in_its_envelope(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/users/me")
        body = answer.json()
        assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
        assert body.keys() == {"success", "data", "message", "timestamp", "request_id"}
        assert body["success"] is True and body["data"]["username"] == "bob"
        assert body["request_id"] == answer.headers["x-request-id"]
        at = datetime.fromisoformat(body["timestamp"])
        assert abs(at.timestamp() - time.time()) < 60 and body["timestamp"].endswith("Z")
        assert answer.headers["cache-control"] == "no-store" and answer.headers["x-content-type-options"] == "nosniff"

    play(house, scenario)


@pytest.mark.parametrize("path", ["/health", "/info", "/api/v1/openapi.json", "/.well-known/jwks.json"])
def test_some_answers_have_no_envelope(house: House, path: str) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.get(path)
        assert answer.status_code == 200 and "success" not in answer.json()

    play(house, scenario, name=None)


@pytest.mark.parametrize(
    "sent, taken", [("abc-1.2_3", True), ("x" * 100, True), ("x" * 101, False), ("with blank", False), ("", False)]
)
def test_a_well_formed_request_id_is_kept(house: House, sent: str, taken: bool) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        for path in ("/api/v1/users/me", "/api/v1/nothing-here"):
            answer = await client.get(path, headers={"X-Request-ID": sent})
            assert (answer.headers["x-request-id"] == sent) is taken
            assert answer.json()["request_id"] == answer.headers["x-request-id"]

    play(house, scenario)


def test_an_unknown_path_is_404_and_an_unserved_method_405_that_names_the_served(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        assert error_of(await client.get("/api/v1/nothing-here")) == (404, "NOT_FOUND")
        served: dict[str, set[str]] = {}
        for spec in ROUTES:
            served.setdefault(spec.http.path, set()).add(spec.http.method)
        for path, methods in served.items():
            concrete = re.sub(r"\{\w+\}", str(uuid4()), path)
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - methods:
                answer = await client.request(method, concrete)
                assert error_of(answer) == (405, "METHOD_NOT_ALLOWED"), (method, path)
                assert set(answer.headers["allow"].split(", ")) == methods | ({"HEAD"} if "GET" in methods else set())

    play(house, scenario)


def test_a_head_is_answered_like_a_get_without_its_body(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.head("/api/v1/users/me")
        assert (answer.status_code, answer.content) == (200, b"")

    play(house, scenario)


# --- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        '{"message": "\\u0000"}',
        '{"message": "\\ud800"}',
        '{"message": 1e400}',
        '{"message": 9223372036854775808}',
        '{"message": NaN}',
        '{"message": "a", "message": "b"}',
        '{"message": ' + "[" * 65 + "]" * 65 + "}",
        '{"message": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"message": "a"',
        "",
        "\ufeff{}",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_json_that_another_reader_might_read_differently_is_refused(house: House, parameters: str) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        before = await client.get("/api/v1/tasks", params={"limit": 1})
        body = f'{{"agent_id": "everything", "task": "echo", "parameters": {parameters}}}'
        answer = await client.post("/api/v1/agents/execute", content=body.encode())
        assert error_of(answer) == (400, "VALIDATION_ERROR")
        after = await client.get("/api/v1/tasks", params={"limit": 1})
        assert before.json()["data"] == after.json()["data"]

    play(house, scenario)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"', b"\xff\xfe", b"{}", b'{"tasks": []}'])
def test_a_body_that_is_no_request_is_refused(house: House, body: bytes) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        assert error_of(await client.post("/api/v1/agents/execute", content=body)) == (400, "VALIDATION_ERROR")

    play(house, scenario)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_above_a_mebibyte_is_too_large(house: House, chunked: bool) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        async def chunks() -> Any:
            for _ in range(9):
                yield b" " * (1 << 17)

        content: Any = chunks() if chunked else b" " * ((1 << 20) + 1)
        answer = await client.post("/api/v1/agents/execute", content=content)
        assert error_of(answer) == (413, "PAYLOAD_TOO_LARGE")
        assert (await client.get("/api/v1/users/me")).status_code == 200

    play(house, scenario)


# --- execute -------------------------------------------------------------------------------------------------------


def test_a_task_is_accepted_and_ends(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await execute(client, "echo", {"message": "hello"}, priority="high", ttl_s=60)
        data = answer.json()["data"]
        assert answer.status_code == 202
        assert data == {
            "task_id": data["task_id"],
            "agent_id": "everything",
            "status": "queued",
            "result": None,
            "error": None,
            "execution_time": None,
        }
        task = await ended(client, data["task_id"])
        assert (task["status"], task["priority"], task["parameters"]) == ("succeeded", 7, {"message": "hello"})
        assert "Echo: hello" in json.dumps(task["result"])
        assert task["created_at"] <= task["started_at"] <= task["finished_at"] <= task["expires_at"]

    play(house, scenario)


def test_whoever_waits_gets_the_ended_task(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        for asked in ({"wait": True}, {"headers": {"Prefer": "wait=10"}}):
            answer = await execute(client, "echo", {"message": "hello"}, **asked)
            data = answer.json()["data"]
            assert (answer.status_code, data["status"]) == (200, "succeeded"), answer.text
            assert "Echo: hello" in json.dumps(data["result"]) and data["execution_time"] >= 0
        failed = await execute(client, "ledger", {"failure": "tool_error"}, wait=True)
        error = {"code": "TOOL_ERROR", "message": "this tool error was asked for", "retryable": False}
        assert (failed.status_code, failed.json()["data"]["status"]) == (200, "failed")
        assert failed.json()["data"]["error"] == error

    play(house, scenario)


def test_whoever_waits_too_briefly_gets_a_202(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        slow = {"duration": 20, "steps": 2}
        answer = await execute(client, "trigger-long-running-operation", slow, headers={"Prefer": "wait=1"})
        assert answer.status_code == 202 and answer.json()["data"]["result"] is None
        cancelled = await client.post(f"/api/v1/tasks/{answer.json()['data']['task_id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["data"]["status"]) == (200, "cancelled")

    play(house, scenario)


def test_a_hundred_tasks_are_accepted_at_once_and_no_more(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        tasks = [{"agent_id": "everything", "task": "echo", "parameters": {"message": str(n)}} for n in range(101)]
        refused = await client.post("/api/v1/agents/execute", json={"tasks": tasks})
        assert error_of(refused) == (400, "VALIDATION_ERROR")
        answer = await client.post("/api/v1/agents/execute", json={"tasks": tasks[:100]})
        accepted = answer.json()["data"]["tasks"]
        assert answer.status_code == 202 and {task["status"] for task in accepted} == {"queued"}
        for number, task in enumerate(accepted):
            found = await ended(client, task["task_id"])
            assert (found["status"], found["parameters"]) == ("succeeded", {"message": str(number)})

    play(house, scenario)


@pytest.mark.parametrize(
    "asked, status",
    [
        ({"agent_id": "nobody", "task": "echo"}, 404),
        ({"agent_id": "everything", "task": "nothing"}, 404),
        ({"agent_id": "everything", "task": "../echo"}, 404),
        ({"agent_id": "everything", "task": "echo"}, 400),
        ({"agent_id": "everything", "task": "echo", "parameters": {"message": 1}}, 400),
        ({"agent_id": "everything", "task": "echo", "parameters": {"message": "a", "more": 1}}, 400),
        ({"agent_id": "everything", "task": "echo", "parameters": {"message": "a"}, "priority": 10}, 400),
        ({"agent_id": "everything", "task": "echo", "parameters": {"message": "a"}, "priority": "top"}, 400),
        ({"agent_id": "everything", "task": "echo", "parameters": {"message": "a"}, "timeout": 0}, 400),
        ({"agent_id": "everything", "task": "echo", "parameters": {"message": "a"}, "unknown": 1}, 400),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_is_accepted(house: House, asked: dict[str, Any], status: int) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/agents/execute", json=asked)
        assert error_of(answer) == (status, "NOT_FOUND" if status == 404 else "VALIDATION_ERROR")
        good = {"agent_id": "everything", "task": "echo", "parameters": {"message": "a"}}
        both = await client.post("/api/v1/agents/execute", json={"tasks": [good, asked]})
        assert both.status_code == status

    play(house, scenario)


@pytest.mark.parametrize(
    "path",
    ["/api/v1/agents/nobody", "/api/v1/agents/nobody/status", "/api/v1/agents/documents", "/api/v1/agents/%2e%2e"],
)
def test_an_unknown_agent_is_404(house: House, path: str) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        assert error_of(await client.get(path)) == (404, "NOT_FOUND")

    play(house, scenario)


# --- keys ----------------------------------------------------------------------------------------------------------


def test_the_same_key_and_body_get_the_same_task(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        key = {"Idempotency-Key": f"execute-{uuid4()}"}
        answers = await asyncio.gather(*(execute(client, "echo", {"message": "a"}, headers=key) for _ in range(20)))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["data"]["task_id"] for answer in answers}) == 1
        other = await execute(client, "echo", {"message": "b"}, headers=key)
        assert error_of(other) == (422, "IDEMPOTENCY_MISMATCH")
        async with house.as_("otto") as otto:
            his = await execute(otto, "echo", {"message": "b"}, headers=key)
            assert his.status_code == 202

    play(house, scenario)


def test_a_cancel_and_a_retry_repeat_their_answers_too(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        slow = {"duration": 60, "steps": 60}
        ids = [
            (await execute(client, "trigger-long-running-operation", slow, timeout=90_000)).json()["data"]["task_id"]
            for _ in range(2)
        ]
        for act, status in (("cancel", 200), ("retry", 202)):
            key = {"Idempotency-Key": f"{act}-{uuid4()}"}
            first = await client.post(f"/api/v1/tasks/{ids[0]}/{act}", headers=key)
            again = await client.post(f"/api/v1/tasks/{ids[0]}/{act}", headers=key)
            assert (first.status_code, again.status_code) == (status, status), again.text
            assert first.json()["data"] == again.json()["data"]
            if act == "cancel":
                late = await client.post(f"/api/v1/tasks/{ids[0]}/cancel")
                assert error_of(late) == (409, "CONFLICT")
                assert late.json()["error"]["details"] == {"status": "cancelled"}
                early = await client.post(f"/api/v1/tasks/{ids[1]}/retry")
                assert error_of(early) == (409, "CONFLICT")
            else:
                retried = first.json()["data"]
                assert (retried["retry_of"], retried["status"]) == (ids[0], "queued")
                task = (await client.get(f"/api/v1/tasks/{retried['task_id']}")).json()["data"]
                assert (task["retry_of"], task["parameters"], task["timeout"]) == (ids[0], slow, 90_000)
                await client.post(f"/api/v1/tasks/{retried['task_id']}/cancel")
            other = await client.post(f"/api/v1/tasks/{ids[1]}/{act}", headers=key)
            assert error_of(other) == (422, "IDEMPOTENCY_MISMATCH")
            if act == "cancel":
                assert (await client.post(f"/api/v1/tasks/{ids[1]}/cancel")).status_code == 200

    play(house, scenario)


@pytest.mark.parametrize("key", ["", "x" * 129, "with blank", "tab\there"])
def test_a_key_is_visible_ascii(house: House, key: str) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await execute(client, "echo", {"message": "a"}, headers={"Idempotency-Key": key})
        assert error_of(answer) == (400, "VALIDATION_ERROR")

    play(house, scenario)


# --- lists ---------------------------------------------------------------------------------------------------------


def test_pages_hold_every_task_once_newest_first(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        since = datetime.now(UTC).isoformat()
        asked = {"agent_id": "everything", "task": "echo", "parameters": {"message": "a"}}
        ids: list[str] = []
        for count in (100, 100, 50):
            answer = await client.post("/api/v1/agents/execute", json={"tasks": [asked] * count})
            ids.extend(task["task_id"] for task in answer.json()["data"]["tasks"])
        found: list[dict[str, Any]] = []
        sizes, cursor = [], None
        while True:
            query = {"limit": "100", "since": since, **({"cursor": cursor} if cursor else {})}
            page = (await client.get("/api/v1/tasks", params=query)).json()["data"]
            found.extend(page["tasks"])
            sizes.append(len(page["tasks"]))
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert sizes == [100, 100, 50]
        assert sorted(task["task_id"] for task in found) == sorted(ids)
        order = [(task["created_at"], UUID(task["task_id"])) for task in found]
        assert order == sorted(order, reverse=True)

    play(house, scenario, name="otto")


@pytest.mark.parametrize(
    "query",
    ["cursor=nonsense", "limit=0", "limit=201", "limit=x", "status=done", "unknown=1", "limit=1&limit=2", "=1"],
)
def test_a_list_refuses_what_it_does_not_know(house: House, query: str) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        assert error_of(await client.get(f"/api/v1/tasks?{query}")) == (400, "VALIDATION_ERROR")

    play(house, scenario)


# --- who may what --------------------------------------------------------------------------------------------------


def _path(spec: Spec, house: House) -> str:
    return spec.http.path.format(agent_id="everything", name="nowhere", **house.ids)


@pytest.mark.parametrize("spec", ROUTES, ids=lambda spec: f"{spec.http.method} {spec.http.path}")
def test_nobody_reads_or_touches_what_is_anothers(house: House, spec: Spec) -> None:
    async def scenario(bob: httpx.AsyncClient) -> None:
        names = re.findall(r"\{(\w+)\}", spec.http.path)
        # Without a body: bob's own sessions and account are not what is asked about here.
        if not names and spec.http.method != "GET":
            answer = await bob.request(spec.http.method, _path(spec, house), content=b'{"unknown": 1}')
        else:
            answer = await bob.request(spec.http.method, _path(spec, house))
        if set(names) & house.ids.keys():
            expected = (404, "NOT_FOUND") if spec.http.scope in SCOPES["user"] else (403, "FORBIDDEN")
            assert error_of(answer) == expected
            details = {} if answer.status_code == 404 else {"scope": spec.http.scope}
            assert answer.json()["error"]["details"] == details
        # A refusal names what was asked for.
        things = "task|session|schedule|API key|node|document|collection"
        said = re.sub(rf"no ({things}) '?[0-9a-f-]{{36}}'?", "", answer.text)
        for hidden in (MARK, "ada@example.org", *house.ids.values()):
            assert hidden not in said, (spec.name, hidden)
        async with house.as_("ada") as ada:
            task = (await ada.get(f"/api/v1/tasks/{house.ids['task_id']}")).json()["data"]
            assert (task["status"], task["parameters"]) == ("succeeded", {"message": MARK})

    play(house, scenario, name="bob")


def test_a_cursor_of_another_user_leads_to_ones_own_tasks(house: House) -> None:
    async def scenario(ada: httpx.AsyncClient) -> None:
        for _ in range(2):
            await execute(ada, "echo", {"message": MARK}, wait=True)
        cursor = (await ada.get("/api/v1/tasks", params={"limit": 1})).json()["data"]["next_cursor"]
        assert cursor
        async with house.as_("audrey") as audrey:
            page = (await audrey.get("/api/v1/tasks", params={"cursor": cursor})).json()["data"]
        assert page == {"tasks": [], "next_cursor": None}

    play(house, scenario, name="ada")


@pytest.mark.parametrize("spec", ROUTES, ids=lambda spec: f"{spec.http.method} {spec.http.path}")
def test_every_route_lets_in_exactly_those_whose_role_has_its_scope(house: House, spec: Spec) -> None:
    async def scenario(_: httpx.AsyncClient) -> None:
        path = re.sub(r"\{\w+\}", "x", spec.http.path)
        for name in (None, *PEOPLE):
            async with house.as_(name) as client:
                # Nothing takes this, so whoever gets past the gate changes nothing.
                answer = await client.request(spec.http.method, f"{path}?unknown=1", content=b'{"unknown": 1}')
            if spec.http.scope is None or (name and spec.http.scope in SCOPES[PEOPLE[name]]):
                assert answer.status_code in (200, 400, 404), (name, answer.text)
            elif name is None:
                assert error_of(answer) == (401, "UNAUTHORIZED")
                assert answer.headers["www-authenticate"].startswith("Bearer")
            else:
                assert error_of(answer) == (403, "FORBIDDEN"), name
                assert answer.json()["error"]["details"] == {"scope": spec.http.scope}

    play(house, scenario)


# --- what is described is what is served ---------------------------------------------------------------------------


def test_the_description_names_exactly_the_routes_that_are_served(house: House) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
        described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
        probes = {("GET", "/health/live"), ("GET", "/health/ready")}
        assert described == {(spec.http.method, spec.http.path) for spec in ROUTES} | probes
        for method, path in sorted(described):
            asked = re.sub(r"\{\w+\}", "x", path.replace("{agent_id}", "everything"))
            answer = await client.request(method, asked, content=b'{"unknown": 1}')
            assert answer.status_code not in (404, 405) and answer.status_code < 500, (method, path, answer.text)
            assert str(answer.status_code) in paths[path][method.lower()]["responses"]

    play(house, scenario, name=None)


# --- health, last since it disturbs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["stopped", "killed"])
def test_health_tells_the_truth_about_redis_within_fifteen_seconds(house: House, fault: str) -> None:
    async def says(client: httpx.AsyncClient, status: str, redis: str) -> None:
        async with asyncio.timeout(15):
            while True:
                answer = await client.get("/health")
                body = answer.json()
                if (body["status"], body["services"]["redis"]["status"]) == (status, redis):
                    assert answer.status_code == 200 and body["services"]["postgres"]["status"] == "ok"
                    return
                await asyncio.sleep(0.1)

    async def scenario(client: httpx.AsyncClient) -> None:
        await says(client, "ok", "ok")
        [redis] = house.platform.pids()["redis"]
        if fault == "killed":
            house.platform.kill(redis)
            async with asyncio.timeout(15):
                while house.platform.pids().get("redis", [redis]) == [redis]:
                    await asyncio.sleep(0.02)
            await says(client, "ok", "ok")
            return
        os.kill(redis, signal.SIGSTOP)
        try:
            await says(client, "degraded", "down")
            answer = await execute(client, "echo", {"message": "still"}, wait=True)
            assert (answer.status_code, answer.json()["data"]["status"]) == (200, "succeeded")
        finally:
            os.kill(redis, signal.SIGCONT)
        await says(client, "ok", "ok")

    play(house, scenario)
