"""One agent on several replicas, behind real sockets: what is said on a stream arrives while the call goes on."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from shared.config import Settings
from tests.mcp.loopback import listening
from tests.mcp.served import META, MODERN
from tests.people import Place, place

T = TypeVar("T")

LEGACY = "2025-11-25"
CAN_ALL: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}


@dataclass(frozen=True)
class Replicas:
    """`urls`: the same server, twice."""

    urls: tuple[str, str]
    token: str
    here: Place
    http: httpx.AsyncClient

    def headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        usual = {"authorization": f"Bearer {self.token}", "accept": "application/json, text/event-stream"}
        return {**usual, "content-type": "application/json", **(more or {})}

    async def post(self, replica: int, message: Mapping[str, Any], headers: Mapping[str, str]) -> httpx.Response:
        body = {"jsonrpc": "2.0", **message}
        return await self.http.post(self.urls[replica], json=body, headers=self.headers(headers))

    async def begin(self, *, can: Mapping[str, Any] = CAN_ALL, version: str = LEGACY) -> dict[str, str]:
        """A session's headers."""
        asked = {"protocolVersion": version, "capabilities": can, "clientInfo": {"name": "tests", "version": "1"}}
        answer = await self.post(0, {"id": 1, "method": "initialize", "params": asked}, {})
        session = {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": version}
        assert (await self.post(1, {"method": "notifications/initialized"}, session)).status_code == 202
        return session

    @asynccontextmanager
    async def call(
        self, replica: int, name: str, arguments: Mapping[str, Any], headers: Mapping[str, str], **meta: Any
    ) -> AsyncIterator[httpx.Response]:
        """A call whose answer is read as it comes, with the request's id 7."""
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if headers.get("mcp-protocol-version") == MODERN:
            meta = {**META, **meta}
        if meta:
            params["_meta"] = meta
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        sent = self.headers(headers)
        async with self.http.stream("POST", self.urls[replica], json=body, headers=sent) as answer:
            yield answer

    async def rows(self) -> list[tuple[str, str, str]]:
        rows = await self.here.database.fetch(
            "SELECT task_id, status, coalesce(error->>'code', '') AS code FROM agent_executions ORDER BY created_at"
        )
        return [(row["task_id"], row["status"], row["code"]) for row in rows]

    async def recorded(self, *rows: tuple[str, str, str]) -> None:
        """Returns once these are what was recorded."""
        async with asyncio.timeout(30):
            while await self.rows() != [*rows]:
                await asyncio.sleep(0.05)


def modern(name: str) -> dict[str, str]:
    return {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": name}


async def messages(answer: httpx.Response) -> AsyncGenerator[dict[str, Any], None]:
    """Of a stream, as they come."""
    assert answer.headers["content-type"] == "text/event-stream", await answer.aread()
    async for line in answer.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def among(settings: Settings, scenario: Callable[[Replicas], Awaitable[T]], *, agent: str = "everything") -> T:
    """Plays a scenario with two replicas of an agent, within two minutes."""

    async def play() -> T:
        async with asyncio.timeout(120), AsyncExitStack() as stack:
            here = await stack.enter_async_context(place(settings))
            await here.register("ada")
            token = (await here.login("ada")).access_token
            first = await stack.enter_async_context(listening(settings, agent))
            second = await stack.enter_async_context(listening(settings, agent))
            http = await stack.enter_async_context(httpx.AsyncClient(timeout=60, trust_env=False))
            return await scenario(Replicas((first, second), token, here, http))

    return asyncio.run(play())
