"""`make up`: one MCP server over everything, at the API's port and at one of its own."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from tests.mcp.served import META, MODERN
from tests.system.platform import Client, Platform


async def _asked(client: Client, base: str, method: str, **params: Any) -> httpx.Response:
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "accept": "application/json, text/event-stream"}
    if name := params.get("name"):
        headers["mcp-name"] = name
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    return await client.http.post(f"{base}/mcp", json=message, headers=headers)


async def _play(platform: Platform) -> None:
    ports = json.loads((platform.home / "run" / "ports.json").read_text())
    async with asyncio.timeout(120), Client(platform.api) as client:
        for base in (platform.api, f"http://127.0.0.1:{ports['mcp']}"):
            found = (await _asked(client, base, "tools/list")).json()["result"]
            assert "everything__echo" in [tool["name"] for tool in found["tools"]]
            called = await _asked(
                client, base, "tools/call", name="everything__echo", arguments={"message": "through the bridge"}
            )
            result = called.json()["result"]
            assert result["content"][0]["text"] == "Echo: through the bridge"
            task = await client.task(result["_meta"]["sutazai/task_id"])
            assert (task["agent_id"], task["task"], task["status"]) == ("everything", "echo", "succeeded")
        health = (await client.http.get("/health")).json()
        assert health["services"]["mcp_bridge"]["status"] == "ok"
        assert health["services"]["mcp_bridge"]["detail"].startswith("2 requests, 0 failed, 0 refused")


def test_every_agent_is_reached_through_one_server() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-bridge-") as folder:
        Path(folder).chmod(0o711)
        with Platform(Path(folder) / "home") as platform:
            asyncio.run(_play(platform))
