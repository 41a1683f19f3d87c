"""Agents as MCP servers in this process, and what goes over the wire to them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from shared.catalog import actions_of
from shared.config import Settings
from shared.serve import App
from tests.people import Place, place

T = TypeVar("T")

MODERN = "2026-07-28"
ORIGIN = "http://127.0.0.1:8080"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Served:
    """One agent, and somebody who may call it."""

    app: App
    agent: str
    token: str
    here: Place
    http: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"{ORIGIN}/mcp/{self.agent}"

    async def send(
        self, body: object, headers: Mapping[str, str | None] | None = None, *, method: str = "POST"
    ) -> httpx.Response:
        """A header that is None is left out; a body of bytes goes as it is."""
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
        """As a client of 2026-07-28 sends it, but for `headers` and what `params` has of `_meta`."""
        params = {"_meta": META, **(params or {})}
        mirrored: dict[str, str | None] = {"mcp-protocol-version": MODERN, "mcp-method": method}
        if name := params.get("name"):
            mirrored["mcp-name"] = str(name)
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        return await self.send(message, {**mirrored, **(headers or {})})

    async def legacy(
        self, method: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str | None] | None = None
    ) -> httpx.Response:
        message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {}}
        return await self.send(message, {"mcp-protocol-version": "2025-11-25", **(headers or {})})

    async def rows(self) -> list[tuple[str, str, str]]:
        """Tool, status and the error's code of what was recorded."""
        rows = await self.here.database.fetch(
            "SELECT task_id, status, coalesce(error->>'code', '') AS code FROM agent_executions ORDER BY created_at"
        )
        return [(row["task_id"], row["status"], row["code"]) for row in rows]


@asynccontextmanager
async def serving(settings: Settings, agent: str = "everything") -> AsyncIterator[Served]:
    app = App(actions_of(agent), settings=settings)
    transport = httpx.ASGITransport(app=app)
    async with place(settings) as here, app.running(), httpx.AsyncClient(transport=transport) as http:
        await here.register("ada")
        token = (await here.login("ada")).access_token
        yield Served(app, agent, token, here, http)


def at(settings: Settings, scenario: Callable[[Served], Awaitable[T]], *, agent: str = "everything") -> T:
    """Plays a scenario with one agent served, within a minute."""

    async def play() -> T:
        async with asyncio.timeout(60), serving(settings, agent) as served:
            return await scenario(served)

    return asyncio.run(play())


def error_of(answer: httpx.Response) -> tuple[int, int, object]:
    """Status, code and id of a JSON-RPC error."""
    body = answer.json()
    assert body.keys() == {"jsonrpc", "id", "error"} and body["jsonrpc"] == "2.0", body
    return answer.status_code, body["error"]["code"], body["id"]


def result_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert answer.status_code == 200 and body.keys() == {"jsonrpc", "id", "result"} and body["id"] == 7, body
    result: dict[str, Any] = body["result"]
    return result
