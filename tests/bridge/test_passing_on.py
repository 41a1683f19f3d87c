"""How the bridge reaches agents elsewhere: by its own word, isolated from one another, and never twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest

from shared.breaker import Breaker
from shared.catalog import actions_of, find
from shared.config import Settings
from shared.errors import Unauthorized, Unavailable
from shared.function import Caller
from shared.mcp.bridge.scheduler import Scheduler
from shared.mcp.bridge.state import BridgeState
from shared.ports.agent_servers import AgentServers, Place
from shared.ports.capabilities import Capabilities
from shared.serve import App
from shared.stores.agent_servers import ServiceAgents
from shared.wiring import Ports
from tests.bridge.bridged import ORIGIN, Bridged, result_of
from tests.bridge.scripted import Asked, Script, Scripted, scripted
from tests.mcp.loopback import listening
from tests.mcp.served import META, error_of
from tests.people import place

T = TypeVar("T")
ECHO = {"name": "everything__echo", "arguments": {"message": "a"}}
CALLER = Caller(
    user_id=UUID(int=1),
    session_id=UUID(int=2),
    roles=frozenset({"user"}),
    scopes=frozenset({"agents:execute", "users:me"}),
    tier="pro",
)


class Places:
    """Agents at chosen addresses; the others are nowhere."""

    def __init__(self, *, vouched: bool = False, **ports: int) -> None:
        self._ports = ports
        self._vouched = vouched

    def place(self, agent: str) -> Place:
        port = self._ports.get(agent.replace("-", "_"), 9)
        host = f"127.0.0.1:{port}" if self._vouched else None
        return Place([f"127.0.0.1:{port}"], f"/mcp/{agent}", host=host, vouched=self._vouched)


def before(
    settings: Settings, places: Places, scenario: Callable[[Bridged], Awaitable[T]], state: BridgeState | None = None
) -> Callable[[], Awaitable[T]]:
    async def play() -> T:
        overrides: dict[type, object] = {AgentServers: places, BridgeState: state or BridgeState()}
        app = App([find("serve_mcp")], settings=settings, overrides=overrides)
        transport = httpx.ASGITransport(app=app)
        async with place(settings) as here, app.running(), httpx.AsyncClient(transport=transport, timeout=60) as http:
            await here.register("ada")
            return await scenario(Bridged(app, here, http, (await here.login("ada")).access_token))

    return play


def at_one(settings: Settings, script: Script, scenario: Callable[[Bridged, Scripted], Awaitable[T]], **more: Any) -> T:
    """With `everything` played by a script."""

    async def play() -> T:
        async with asyncio.timeout(60), scripted(script) as server:
            places = Places(everything=server.port, **more)
            return await before(settings, places, lambda here: scenario(here, server))()

    return asyncio.run(play())


async def _echo(asked: Asked) -> None:
    asked.result({"content": []})


def test_on_this_machine_a_callers_own_proof_goes_along(settings: Settings) -> None:
    async def scenario(here: Bridged, server: Scripted) -> tuple[str, dict[str, str], dict[str, Any]]:
        await here.modern("tools/call", ECHO, {"sutazai-capability": "made up", "x-mine": "1"})
        [asked] = server.asked
        return here.token, asked.headers, asked.message

    token, headers, message = at_one(settings, _echo, scenario)
    assert headers["authorization"] == f"Bearer {token}" and "sutazai-capability" not in headers
    assert (headers["mcp-name"], headers["x-mine"], headers["host"]) == ("echo", "1", "127.0.0.1:8080")
    assert message["params"] == {"name": "echo", "arguments": {"message": "a"}, "_meta": META}


def test_elsewhere_the_bridge_gives_its_word_and_keeps_the_token(settings: Settings) -> None:
    async def scenario(here: Bridged, server: Scripted) -> tuple[dict[str, str], int, Caller]:
        await here.modern("tools/call", ECHO, {"cookie": "sutazai=1"})
        [asked] = server.asked
        async with Ports(settings) as ports:
            capabilities = await ports.open(Capabilities)
            word = asked.headers["sutazai-capability"]
            return asked.headers, server.port, capabilities.verify(word, agent="everything", body=asked.body)

    headers, port, caller = at_one(settings, _echo, scenario, vouched=True)
    assert headers.keys().isdisjoint({"authorization", "x-api-key", "cookie"})
    assert headers["host"] == f"127.0.0.1:{port}"
    assert caller.scopes == {"agents:execute", "tasks:read", "tasks:write"}


def test_an_agent_elsewhere_takes_that_word_and_no_other(settings: Settings) -> None:
    async def play() -> tuple[Any, list[int], list[str]]:
        async with asyncio.timeout(60), listening(settings, "everything") as url:
            port = int(url.split(":")[2].split("/")[0])

            async def scenario(here: Bridged) -> tuple[Any, list[int], list[str]]:
                called = await here.modern("tools/call", ECHO)
                async with Ports(settings) as ports:
                    capabilities = await ports.open(Capabilities)
                body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
                scopes = ["agents:execute"]
                words = [
                    capabilities.issue(CALLER, agent="everything", scopes=scopes, body=body),
                    capabilities.issue(CALLER, agent="memory", scopes=scopes, body=body),
                    capabilities.issue(CALLER, agent="everything", scopes=scopes, body=b"other"),
                    capabilities.issue(CALLER, agent="everything", scopes=[], body=body),
                    here.token,
                    "x",
                ]
                statuses = []
                async with httpx.AsyncClient() as http:
                    headers = {"content-type": "application/json", "accept": "application/json"}
                    for word in words:
                        sent = {**headers, "sutazai-capability": word}
                        statuses.append((await http.post(url, content=body, headers=sent)).status_code)
                    both = {**headers, "sutazai-capability": words[0], "authorization": f"Bearer {here.token}"}
                    statuses.append((await http.post(url, content=body, headers=both)).status_code)
                owners = await here.here.database.fetch(
                    "SELECT username FROM users u JOIN agent_executions e ON e.user_id = u.id"
                )
                return result_of(called), statuses, [row["username"] for row in owners]

            return await before(settings, Places(everything=port, vouched=True), scenario)()

    called, statuses, owners = asyncio.run(play())
    assert called["content"][0]["text"] == "Echo: a"
    assert statuses == [200, 401, 401, 403, 401, 401, 401]
    assert owners == ["ada"]


def test_a_capability_lasts_a_minute(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with Ports(settings) as ports:
            capabilities = await ports.open(Capabilities)
            word = capabilities.issue(CALLER, agent="everything", scopes=["agents:execute"], body=b"x")
            assert capabilities.verify(word, agent="everything", body=b"x") == replace(
                CALLER,
                scopes=frozenset({"agents:execute"}),
                expires_at=capabilities.verify(word, agent="everything", body=b"x").expires_at,
            )
            monkeypatch.setattr("shared.stores.capabilities.time.time", lambda: 1_000_000.0)
            old = capabilities.issue(CALLER, agent="everything", scopes=["agents:execute"], body=b"x")
            monkeypatch.undo()
            with pytest.raises(Unauthorized):
                capabilities.verify(old, agent="everything", body=b"x")

    asyncio.run(play())


def test_services_are_found_by_the_url_that_says_where_functions_are() -> None:
    settings = Settings.read({"SUTAZAI_FUNCTION_URL": "http://{name}.sutazai.svc.cluster.local"})
    host = "code-index.sutazai.svc.cluster.local"
    assert ServiceAgents(settings=settings).place("code-index") == Place(
        [f"{host}:80"], "/mcp/code-index", host=host, vouched=True
    )
    settings = Settings.read({"SUTAZAI_FUNCTION_URL": "http://gateway.openfaas:8080/function/{name}"})
    assert ServiceAgents(settings=settings).place("git") == Place(
        ["gateway.openfaas:8080"], "/function/git/mcp/git", host="gateway.openfaas:8080", vouched=True
    )


def test_an_agent_that_is_away_is_left_alone_and_harms_no_other(settings: Settings) -> None:
    clock = [0.0]
    state = BridgeState()

    async def play() -> tuple[Any, ...]:
        async with asyncio.timeout(60), scripted(_echo) as server:

            async def scenario(here: Bridged) -> tuple[Any, ...]:
                breaker = state.breaker("memory")
                breaker.clock = lambda: clock[0]
                asked = {"name": "memory__read_graph", "arguments": {}}
                away = [await here.modern("tools/call", asked) for _ in range(7)]
                failing = state.failing
                other = await here.modern("tools/call", ECHO)
                places._ports["memory"] = server.port
                clock[0] = 100.0
                back = await here.modern("tools/call", asked)
                return away, failing, other, back, state.failing

            places = Places(everything=server.port)
            return await before(settings, places, scenario, state)()

    away, failing, other, back, failing_after = asyncio.run(play())
    assert [error_of(answer) for answer in away] == [(503, 503, 7)] * 7
    assert "cannot be reached now" in away[0].text and "does not answer now; try again in 5 s" in away[-1].text
    assert away[-1].headers["retry-after"] == "5"
    assert (failing, failing_after) == (["memory"], [])
    assert other.status_code == back.status_code == 200
    tally = state.metrics.by_upstream["memory"]
    assert (tally.requests, tally.failed, tally.refused) == (6, 5, 2)


def test_what_an_agent_that_died_was_asked_is_asked_of_no_other(settings: Settings) -> None:
    async def dies(asked: Asked) -> None:
        asked.writer.close()

    async def scenario(here: Bridged, server: Scripted) -> tuple[httpx.Response, int]:
        return await here.modern("tools/call", ECHO), len(server.asked)

    answer, asked = at_one(settings, dies, scenario)
    assert error_of(answer) == (502, -32603, 7) and "your history says" in answer.text and asked == 1


def test_a_caller_who_leaves_ends_the_work(settings: Settings) -> None:
    async def waits(asked: Asked) -> None:
        await asyncio.Event().wait()

    state = BridgeState()

    async def play() -> int:
        async with asyncio.timeout(60), scripted(waits) as server:

            async def scenario(here: Bridged) -> int:
                call = asyncio.create_task(_leaving(here, server))
                await server.has_heard(1)
                await call
                await server.asked[0].left.wait()
                return state.scheduler.running["everything"]

            return await before(settings, Places(everything=server.port), scenario, state)()

    assert asyncio.run(play()) == 0


async def _leaving(here: Bridged, server: Scripted) -> None:
    """A request whose client goes away once it has arrived."""
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": ECHO}).encode()
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        if (message := next(messages, None)) is not None:
            return message
        await server.has_heard(1)
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        raise AssertionError("nobody is there to take an answer")

    headers = [
        (b"host", b"127.0.0.1:8080"),
        (b"authorization", f"Bearer {here.token}".encode()),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"mcp-protocol-version", b"2025-11-25"),
    ]
    scope = {"type": "http", "method": "POST", "path": "/mcp", "query_string": b"", "headers": headers}
    await here.app(scope, receive, send)


def test_a_stream_passes_event_by_event_with_resources_named_for_the_bridge(settings: Settings) -> None:
    link = {"type": "resource_link", "uri": "demo://a", "name": "a"}
    held = asyncio.Event()

    async def streams(asked: Asked) -> None:
        asked.stream()
        asked.piece(b": \n\n")
        message = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{}}'
        asked.piece(b"event: message\ndata: %b\n\nevent: mess" % message)
        await held.wait()
        answer = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"content": [link]}}).encode()
        asked.piece(b"age\ndata: %b\n\n" % answer)
        asked.end()

    async def scenario(here: Bridged, server: Scripted) -> tuple[bytes, Any]:
        params = {**ECHO, "_meta": META}
        headers = {
            "authorization": f"Bearer {here.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "everything__echo",
        }
        message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        held.set()
        answer = await here.http.post(f"{ORIGIN}/mcp", json=message, headers=headers)
        *_, last = [line for line in answer.text.split("\n") if line.startswith("data: ")]
        return answer.content, json.loads(last[6:])

    content, last = at_one(settings, streams, scenario)
    assert content.startswith(b": \n\nevent: message\ndata: {")
    assert last["result"]["content"] == [{**link, "uri": "everything+demo://a"}]


def test_after_failures_one_request_decides_for_the_others() -> None:
    now = [0.0]
    breaker = Breaker("far", most=2, open_s=10, clock=lambda: now[0])
    for _ in range(2):
        breaker.admit()
        breaker.failed()
    with pytest.raises(Unavailable):
        breaker.admit()
    now[0] = 10.0
    breaker.admit()
    with pytest.raises(Unavailable):
        breaker.admit()
    breaker.left()
    breaker.admit()
    breaker.failed()
    with pytest.raises(Unavailable):
        breaker.admit()
    now[0] = 20.0
    breaker.admit()
    breaker.succeeded()
    breaker.admit()
    breaker.admit()


def test_a_slow_agent_fills_its_own_room_alone() -> None:
    scheduler = Scheduler(at_once=2)
    scheduler.enter("slow")
    scheduler.enter("slow")
    with pytest.raises(Unavailable):
        scheduler.enter("slow")
    scheduler.enter("other")
    scheduler.leave("slow")
    scheduler.enter("slow")


def test_tools_whose_scope_a_caller_lacks_are_not_listed(settings: Settings) -> None:
    from shared.mcp.bridge.registry import Registry

    class NoServers:
        async def offers(self) -> list[Any]:
            return []

        async def names(self) -> frozenset[str]:
            return frozenset()

    [echo] = [spec for spec in actions_of("everything") if spec.tool.name == "echo"]
    special = replace(echo, trigger=replace(echo.tool, name="special", scope="agents:operate"))
    registry = Registry(["everything"], lambda _: ((echo, special), ()), NoServers())  # type: ignore[arg-type]

    async def listed(*scopes: str) -> list[str]:
        caller = replace(CALLER, scopes=frozenset(scopes), user_id=uuid4())
        members = (await registry.list("tools", None, caller)).members
        return [tool["name"] for tool in json.loads(b"{%b}" % members)["tools"]]

    assert asyncio.run(listed("agents:execute")) == ["everything__echo"]
    assert asyncio.run(listed("agents:execute", "agents:operate")) == ["everything__echo", "everything__special"]
    assert registry.scopes("everything") >= {"agents:execute", "agents:operate"}
