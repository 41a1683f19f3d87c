"""What callers of the API see, as a transcript: the same from whatever serves it, but for ids, times and secrets."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from tests.mcp.served import META, MODERN
from tests.system.platform import PASSWORD

# Of the agent `everything`; all other actions have nothing to do here.
TOOLS = ("echo", "ledger", "trigger-long-running-operation")

_HEADERS = (
    *("allow", "cache-control", "content-type", "retry-after", "www-authenticate", "x-content-type-options"),
    *("ratelimit-limit", "ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-remaining"),
)
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
_REQUEST = re.compile(r"^[0-9a-f]{32}$")
# Secrets, and how long something took.
_VARYING = frozenset(
    {
        *("access_token", "refresh_token", "key", "hint"),
        *("execution_time", "reset_at", "retry_after", "next_cursor"),
    }
)

Transcript = dict[str, Any]


@dataclass
class Caller:
    """A client whose every answer is written down."""

    http: httpx.AsyncClient
    seen: Transcript = field(default_factory=dict)

    async def ask(self, what: str, method: str, path: str, **more: Any) -> httpx.Response:
        answer = await self.http.request(method, path, **more)
        assert what not in self.seen, f"{what!r} was asked before"
        self.seen[what] = told(answer)
        return answer

    def bearer(self, answer: httpx.Response) -> None:
        self.http.headers["authorization"] = f"Bearer {answer.json()['data']['access_token']}"


def told(answer: httpx.Response) -> dict[str, Any]:
    """Status, the headers that mean something, and the body."""
    headers = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
    try:
        body = alike(answer.json())
    except json.JSONDecodeError:
        body = _text(answer.text)
    return {"status": answer.status_code, "headers": headers, "body": body}


def alike(value: Any, name: str = "") -> Any:
    """The same for two answers that mean the same."""
    if isinstance(value, dict):
        return {key: alike(each, key) for key, each in sorted(value.items())}
    if isinstance(value, list):
        return [alike(each, name) for each in value]
    if name in _VARYING and value is not None:
        return f"<{name}>"
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    return _REQUEST.sub("<request>", _TIME.sub("<time>", _ID.sub("<id>", text)))


async def play(api: str, postgres_url: str) -> Transcript:
    """The whole suite against one API that nobody has used before."""
    async with httpx.AsyncClient(base_url=api, timeout=120, trust_env=False) as http:
        caller = Caller(http)
        for scenario in _SCENARIOS:
            await scenario(caller)
        await _limits(caller, postgres_url)
        await _leaving(caller)
    return caller.seen


async def _accounts(caller: Caller) -> None:
    account = {"email": "ada@example.org", "username": "ada", "password": PASSWORD, "confirm_password": PASSWORD}
    await caller.ask("register", "POST", "/api/v1/auth/register", json=account)
    await caller.ask("register again", "POST", "/api/v1/auth/register", json=account)
    weak = {**account, "username": "eve", "email": "eve@example.org", "password": "short", "confirm_password": "short"}
    await caller.ask("register with a weak password", "POST", "/api/v1/auth/register", json=weak)
    await caller.ask("without a token", "GET", "/api/v1/users/me")
    wrong = {"username": "ada", "password": "wrong-Harbour-93-lamp"}
    await caller.ask("login with a wrong password", "POST", "/api/v1/auth/login", json=wrong)
    login = await caller.ask("login", "POST", "/api/v1/auth/login", json={"username": "ada", "password": PASSWORD})
    token = {"refresh_token": login.json()["data"]["refresh_token"]}
    refreshed = await caller.ask("refresh", "POST", "/api/v1/auth/refresh", json=token)
    caller.bearer(refreshed)
    unknown = {"refresh_token": "nobody-has-been-given-this-one"}
    await caller.ask("refresh with what nobody was given", "POST", "/api/v1/auth/refresh", json=unknown)


async def _users(caller: Caller) -> None:
    await caller.ask("me", "GET", "/api/v1/users/me")
    await caller.ask("change me", "PUT", "/api/v1/users/me", json={"full_name": "Ada"})
    await caller.ask("change what I have not", "PUT", "/api/v1/users/me", json={"is_admin": True})
    await caller.ask("others, as a user", "GET", "/api/v1/users")
    await caller.ask("my sessions", "GET", "/api/v1/auth/sessions")
    await caller.ask("a key", "POST", "/api/v1/auth/api-keys", json={"name": "k", "scopes": ["tasks:read"]})


async def _requests(caller: Caller) -> None:
    """Whatever is not about one endpoint."""
    answer = await caller.ask("a request's id", "GET", "/api/v1/tasks", headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    await caller.ask("a method that is not served", "DELETE", "/api/v1/agents/execute")
    await caller.ask("only the head", "HEAD", "/api/v1/tasks")
    await caller.ask("a query twice", "GET", "/api/v1/tasks?limit=1&limit=2")
    await caller.ask("no JSON", "POST", "/api/v1/agents/execute", content=b'{"agent_id": ')
    await caller.ask("JSON with a NUL", "POST", "/api/v1/agents/execute", content=b'{"agent_id": "\\u0000"}')
    await caller.ask("too large a body", "POST", "/api/v1/agents/execute", content=b" " * ((1 << 20) + 1))
    await caller.ask("an id that is none", "GET", "/api/v1/tasks/none")
    await caller.ask("an id that is nobody's", "GET", "/api/v1/tasks/00000000-0000-4000-8000-000000000000")
    await caller.ask("info", "GET", "/info")
    await caller.ask("the API's description", "GET", "/api/v1/openapi.json")


async def _tasks(caller: Caller) -> None:
    path, echo = "/api/v1/agents/execute", _echo("hello")
    await caller.ask("execute and wait", "POST", path, json={**echo, "wait": True})
    failing = {"agent_id": "everything", "task": "ledger", "parameters": {"failure": "tool_error"}, "wait": True}
    await caller.ask("execute what fails", "POST", path, json=failing)
    await caller.ask("execute what no agent has", "POST", path, json={**echo, "task": "fly"})
    await caller.ask("execute with wrong parameters", "POST", path, json={**echo, "parameters": {"message": 1}})
    queued = await caller.ask("execute", "POST", path, json=echo)
    task_id = queued.json()["data"]["task_id"]
    await _until(caller, task_id, lambda task: task["finished_at"] is not None)
    await caller.ask("a task that has ended", "GET", f"/api/v1/tasks/{task_id}")
    await caller.ask("cancel what has ended", "POST", f"/api/v1/tasks/{task_id}/cancel")
    await caller.ask("its events", "GET", f"/api/v1/tasks/{task_id}/events")
    keyed = {"json": _echo("once"), "headers": {"idempotency-key": "one"}}
    first = await caller.ask("execute with a key", "POST", path, **keyed)
    again = await caller.ask("execute with the same key", "POST", path, **keyed)
    assert first.json()["data"]["task_id"] == again.json()["data"]["task_id"]
    other = {**keyed, "json": _echo("twice")}
    await caller.ask("execute another with the same key", "POST", path, **other)
    await _until(caller, first.json()["data"]["task_id"], lambda task: task["finished_at"] is not None)


async def _cancelling(caller: Caller) -> None:
    slow = {"agent_id": "everything", "task": TOOLS[2], "parameters": {"duration": 60, "steps": 2}}
    answer = await caller.ask("execute what takes long", "POST", "/api/v1/agents/execute", json=slow)
    task_id = answer.json()["data"]["task_id"]
    await _until(caller, task_id, lambda task: task["status"] == "running")
    await caller.ask("cancel", "POST", f"/api/v1/tasks/{task_id}/cancel")
    await caller.ask("a task that was cancelled", "GET", f"/api/v1/tasks/{task_id}")


async def _mcp(caller: Caller) -> None:
    for what, params in (
        ("an agent's tool", {"name": "echo", "arguments": {"message": "hello"}}),
        ("an agent's tool with wrong arguments", {"name": "echo", "arguments": {"message": 1}}),
    ):
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"_meta": META, **params}}
        headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "echo"}
        accept = {"accept": "application/json, text/event-stream"}
        await caller.ask(what, "POST", "/mcp/everything", json=message, headers={**headers, **accept})


async def _limits(caller: Caller, postgres_url: str) -> None:
    """The lowest tier's burst, to its end."""
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("UPDATE sutazai.users SET tier = 'free' WHERE username = 'ada'")
    finally:
        await connection.close()
    login = await caller.http.post("/api/v1/auth/login", json={"username": "ada", "password": PASSWORD})
    caller.bearer(login)
    passed = 0
    while (answer := await caller.http.get("/api/v1/auth/sessions")).status_code == 200:
        passed += 1
    caller.seen["a rate that is spent"] = told(answer)
    caller.seen["requests before it was"] = passed


async def _leaving(caller: Caller) -> None:
    account = {"email": "bob@example.org", "username": "bob", "password": PASSWORD, "confirm_password": PASSWORD}
    caller.http.headers.pop("authorization")
    await caller.ask("register another", "POST", "/api/v1/auth/register", json=account)
    caller.bearer(await caller.http.post("/api/v1/auth/login", json={"username": "bob", "password": PASSWORD}))
    await caller.ask("logout", "POST", "/api/v1/auth/logout")
    # It holds within a second everywhere.
    async with asyncio.timeout(10):
        while (answer := await caller.http.get("/api/v1/users/me")).status_code == 200:
            await asyncio.sleep(0.05)
    caller.seen["after the logout"] = told(answer)


async def _until(caller: Caller, task_id: str, holds: Callable[[Mapping[str, Any]], bool]) -> None:
    async with asyncio.timeout(120):
        while not holds((await caller.http.get(f"/api/v1/tasks/{task_id}")).json()["data"]):
            await asyncio.sleep(0.05)


def _echo(message: str) -> dict[str, Any]:
    return {"agent_id": "everything", "task": "echo", "parameters": {"message": message}}


_SCENARIOS: tuple[Callable[[Caller], Awaitable[None]], ...] = (
    _accounts,
    _users,
    _requests,
    _tasks,
    _cancelling,
    _mcp,
)
