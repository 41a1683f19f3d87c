"""A gateway with the bridge and a worker behind it, in one process but over real sockets between them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from shared.catalog import OUTSIDE, actions_of, find
from shared.config import Settings
from shared.local.mcp_listener import listening
from shared.serve import App
from shared.wiring import Ports
from shared.worker import Worker
from tests.mcp.served import META, MODERN
from tests.people import Place, place

T = TypeVar("T")

ORIGIN = "http://127.0.0.1:8080"
ROUTES = (
    "serve_mcp",
    "add_mcp_server",
    "approve_mcp_server",
    "delete_mcp_server",
    "get_mcp_server",
    "list_mcp_servers",
    "set_mcp_credentials",
    "delete_mcp_credentials",
    "list_tasks",
)


@dataclass
class Bridged:
    """Somebody, at the bridge."""

    app: App
    here: Place
    http: httpx.AsyncClient
    token: str
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{ORIGIN}/mcp"

    def as_(self, name: str) -> "Bridged":
        return Bridged(self.app, self.here, self.http, self.tokens[name], self.tokens)

    async def send(
        self, body: object, headers: Mapping[str, str | None] | None = None, *, method: str = "POST"
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: dict[str, str | None] = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            **(headers or {}),
        }
        kept = {name: value for name, value in sent.items() if value is not None}
        return await self.http.request(method, self.url, content=content, headers=kept)

    async def modern(
        self, method: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str | None] | None = None
    ) -> httpx.Response:
        params = {"_meta": META, **(params or {})}
        mirrored: dict[str, str | None] = {"mcp-protocol-version": MODERN, "mcp-method": method}
        if name := params.get("name") or params.get("uri"):
            mirrored["mcp-name"] = str(name)
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return await self.send(message, {**mirrored, **(headers or {})})

    async def legacy(
        self, method: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str | None] | None = None
    ) -> httpx.Response:
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
        return await self.send(message, {"mcp-protocol-version": "2025-11-25", **(headers or {})})

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = result_of(await self.modern("tools/call", {"name": name, "arguments": arguments}))
        return result

    async def listed(self, method: str, member: str) -> list[dict[str, Any]]:
        """All pages."""
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        while True:
            result = result_of(await self.modern(method, params))
            found += result[member]
            if "nextCursor" not in result:
                return found
            params = {"cursor": result["nextCursor"]}

    async def api(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return await self.http.request(method, f"{ORIGIN}/api/v1{path}", json=body, headers=headers)

    async def data(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.api(method, path, body)
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    async def rows(self) -> list[tuple[str, str, str, str]]:
        rows = await self.here.database.fetch(
            "SELECT agent_type, task_id, status, coalesce(error->>'code', '') AS code FROM agent_executions"
            " ORDER BY created_at"
        )
        return [(row["agent_type"], row["task_id"], row["status"], row["code"]) for row in rows]


def result_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert answer.status_code == 200 and body.keys() == {"jsonrpc", "id", "result"} and body["id"] == 7, body
    result: dict[str, Any] = body["result"]
    return result


@asynccontextmanager
async def bridged(settings: Settings, agents: Sequence[str] = ("everything",)) -> AsyncIterator[Bridged]:
    actions = [spec for agent in (*agents, OUTSIDE) for spec in actions_of(agent)]
    (settings.home / "run").mkdir(parents=True, exist_ok=True)
    async with (
        place(settings) as here,
        Ports(settings) as ports,
        Worker(actions, ports=ports) as worker,
        listening(actions, worker=worker, ports=ports) as address,
    ):
        (settings.home / "run" / "worker-0.ready").write_text(address)
        app = App([find(name) for name in ROUTES], settings=settings)
        transport = httpx.ASGITransport(app=app)
        async with app.running(), httpx.AsyncClient(transport=transport, timeout=60) as http:
            found = Bridged(app, here, http, "")
            await here.register("ada")
            await here.admin("root")
            for name in ("ada", "root"):
                found.tokens[name] = (await here.login(name)).access_token
            found.token = found.tokens["ada"]
            yield found


def at(
    settings: Settings, scenario: Callable[[Bridged], Awaitable[T]], *, agents: Sequence[str] = ("everything",)
) -> T:
    """Plays a scenario at a bridge, within a minute."""

    async def play() -> T:
        async with asyncio.timeout(90), bridged(settings, agents) as here:
            return await scenario(here)

    return asyncio.run(play())
