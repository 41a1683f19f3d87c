"""A tool that declares a limit takes so many calls of one user, wherever they come from."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.catalog import actions_of
from shared.config import Settings
from shared.errors import RateLimited
from shared.function import Spec, tool
from shared.ports.limits import Limits
from shared.tool_limits import count_call
from shared.wiring import Ports
from shared.worker import Worker
from tests.mcp.served import META, MODERN
from tests.people import place


def _limited(per_minute: int) -> tuple[Spec, ...]:
    return tuple(
        replace(spec, trigger=replace(spec.tool, limit_per_minute=per_minute)) if spec.tool.name == "echo" else spec
        for spec in actions_of("everything")
    )


def test_calls_beyond_the_limit_are_told_when_to_come_again(settings: Settings) -> None:
    async def play() -> tuple[list[int], dict[str, Any], httpx.Headers, list[int], int]:
        from shared.serve import App

        app = App(_limited(3), settings=settings)
        transport = httpx.ASGITransport(app=app)
        http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080")
        async with asyncio.timeout(60), place(settings) as here, app.running(), http:
            for name in ("ada", "bob"):
                await here.register(name)
            tokens = {name: (await here.login(name)).access_token for name in ("ada", "bob")}

            async def call(name: str, tool_name: str = "echo") -> httpx.Response:
                arguments = {"message": "a"} if tool_name == "echo" else {}
                params = {"name": tool_name, "arguments": arguments, "_meta": META}
                message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
                headers = {
                    "authorization": f"Bearer {tokens[name]}",
                    "mcp-protocol-version": MODERN,
                    "mcp-method": "tools/call",
                    "mcp-name": tool_name,
                    "accept": "application/json, text/event-stream",
                }
                return await http.post("/mcp/everything", json=message, headers=headers)

            answers = [await call("ada") for _ in range(5)]
            others = [(await call("bob")).status_code, (await call("ada", "get-tiny-image")).status_code]
            rows = await here.database.fetchval("SELECT count(*) FROM agent_executions WHERE task_id = 'echo'")
        last = answers[-1]
        return [answer.status_code for answer in answers], last.json(), last.headers, others, rows

    statuses, refused, headers, others, rows = asyncio.run(play())
    assert (statuses, others, rows) == ([200, 200, 200, 429, 429], [200, 200], 4)
    wait_s = int(headers["retry-after"])
    assert 1 <= wait_s <= 20 and refused["id"] == 7 and refused["error"]["code"] == 429
    assert refused["error"]["message"] == (
        f"'echo' of 'everything' takes 3 calls a minute from each user; call it again in {wait_s} s"
    )
    assert refused["error"]["data"]["limit"] == "3"


def test_a_worker_refuses_before_anything_is_recorded(settings: Settings) -> None:
    async def play() -> int:
        actions = _limited(1)
        [echo] = [spec for spec in actions if spec.tool.name == "echo"]
        async with asyncio.timeout(60), Ports(settings) as ports, Worker(actions, ports=ports) as worker:
            user_id = uuid4()
            await worker.attached(echo, user_id, {"message": "a"})
            with pytest.raises(RateLimited):
                await worker.attached(echo, user_id, {"message": "a"})
            limits = await ports.open(Limits)
            refused = 0
            for _ in range(5):
                try:
                    await count_call(limits, echo, uuid4())
                except RateLimited:
                    refused += 1
            return refused

    assert asyncio.run(play()) == 0


def test_a_limit_that_lets_nobody_pass_is_no_declaration() -> None:
    with pytest.raises(ValueError, match="limit_per_minute=0"):
        tool(effect="read", limit_per_minute=0)
