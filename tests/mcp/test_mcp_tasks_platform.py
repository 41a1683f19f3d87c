"""`make up`: a task that waits for its client outlives whatever dies, and its effect comes once."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.mcp.served import META, MODERN
from tests.system.platform import Client, Platform

CAN: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}, "elicitation": {}}


def _sent(method: str, params: dict[str, Any]) -> dict[str, Any]:
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "accept": "application/json, text/event-stream"}
    if name := params.get("taskId") or params.get("name"):
        headers["mcp-name"] = name
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": CAN}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    return {"json": message, "headers": headers}


async def _asked(client: Client, method: str, **params: Any) -> dict[str, Any]:
    """The result, from whichever worker is there by then."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await client.http.post("/mcp/everything", **_sent(method, params))
            except httpx.TransportError:
                continue
            if answer.status_code not in (502, 503):
                assert answer.status_code == 200, answer.text
                result: dict[str, Any] = answer.json()["result"]
                return result
            await asyncio.sleep(0.1)


async def _until(client: Client, task_id: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (task := await _asked(client, "tasks/get", taskId=task_id))["status"] not in statuses:
            await asyncio.sleep(0.1)
    return task


async def _heard(client: Client, task_id: str) -> list[str]:
    """What a stream tells of a task until it asks, each state once."""
    sent = _sent("subscriptions/listen", {"notifications": {"taskIds": [task_id]}})
    seen: dict[str, None] = {}
    async with asyncio.timeout(60), client.http.stream("POST", "/mcp/everything", **sent) as response:
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                params = json.loads(line.removeprefix("data:"))["params"]
                seen[params.get("status", "agreed")] = None
                if "input_required" in seen:
                    break
    return list(seen)


async def _running(client: Client, task_id: str) -> None:
    async with asyncio.timeout(60):
        while (await client.task(task_id))["status"] != "running":
            await asyncio.sleep(0.05)


async def _park(platform: Platform) -> tuple[str, Any]:
    async with Client(platform.api) as client:
        arguments = {"confirm": True, "duration_ms": 3000}
        created = await _asked(client, "tools/call", name="ledger", arguments=arguments)
        task_id = str(created["taskId"])
        heard = await _heard(client, task_id)
        assert heard in (["agreed", "working", "input_required"], ["agreed", "input_required"])
        parked = await _until(client, task_id, "input_required", "completed", "failed")
        for pid in platform.pids()["worker"]:
            platform.kill(pid)
        again = await _until(client, task_id, "input_required", "completed", "failed")
        assert again["inputRequests"] == parked["inputRequests"]
        return task_id, parked["inputRequests"]


async def _go_on(platform: Platform, task_id: str, requests: Any) -> None:
    async with Client(platform.api) as client:
        parked = await _asked(client, "tasks/get", taskId=task_id)
        assert (parked["status"], parked["inputRequests"]) == ("input_required", requests)
        said = {"confirm": {"action": "accept", "content": {}}}
        await _asked(client, "tasks/update", taskId=task_id, inputResponses=said)
        await _running(client, task_id)
        for pid in platform.pids()["worker"]:
            platform.kill(pid)
        ended = await _until(client, task_id, "completed", "failed", "cancelled")
        effect = ended["result"]["structuredContent"]
        assert (ended["status"], effect["execution_id"], effect["first"]) == ("completed", task_id, True)
        task = await client.task(task_id)
        assert (task["attempts"], task["losses"]) == (1, 1)
        counted = await _asked(client, "tools/call", name="ledger-count", arguments={"execution_id": task_id})
        assert counted["structuredContent"] == {"count": 1}
        assert (await client.http.get(f"/api/v1/tasks/{uuid4()}")).status_code == 404


def test_a_waiting_task_outlives_its_worker_and_everything_else_and_leaves_one_effect() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-asking-") as folder:
        Path(folder).chmod(0o711)
        with Platform(Path(folder) / "home") as platform:
            task_id, requests = asyncio.run(_park(platform))
            platform.kill_everything()
            platform.start()
            asyncio.run(_go_on(platform, task_id, requests))
