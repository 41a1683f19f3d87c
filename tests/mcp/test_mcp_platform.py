"""`make up`: every agent answers MCP at the gateway, and runs in a worker."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from shared.catalog import agent_names
from tests.mcp.served import META, MODERN
from tests.system.platform import Client, Platform


async def _asked(client: Client, agent: str, method: str, **params: Any) -> httpx.Response:
    headers = {"mcp-protocol-version": MODERN, "mcp-method": method, "accept": "application/json, text/event-stream"}
    if name := params.get("name"):
        headers["mcp-name"] = name
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    return await client.http.post(f"/mcp/{agent}", json=message, headers=headers)


async def _echoed(client: Client, *, within_s: float = 30) -> list[int]:
    """The statuses until a call is answered."""
    seen: list[int] = []
    async with asyncio.timeout(within_s):
        while not seen or seen[-1] != 200:
            seen.append(
                (await _asked(client, "everything", "tools/call", name="echo", arguments={"message": "a"})).status_code
            )
            await asyncio.sleep(0.05)
    return seen


async def _play(platform: Platform) -> None:
    urls = json.loads((platform.home / "run" / "urls.json").read_text())
    assert urls["mcp"] == f"{platform.api}/mcp"
    async with Client(platform.api) as client:
        for agent in agent_names():
            answer = await _asked(client, agent, "server/discover")
            server = answer.json()["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]
            assert (answer.status_code, server["name"]) == (200, agent)
        written = await _asked(
            client,
            "filesystem",
            "tools/call",
            name="write_file",
            arguments={"path": "/a.txt", "content": "a" * 200_000},
        )
        task = await client.task(written.json()["result"]["_meta"]["sutazai/task_id"])
        assert (task["agent_id"], task["task"], task["status"]) == ("filesystem", "write_file", "succeeded")
        paths = ["/a.txt"] * 10
        read = await _asked(client, "filesystem", "tools/call", name="read_multiple_files", arguments={"paths": paths})
        assert read.json()["result"]["structuredContent"]["content"].count("a" * 200_000) == 10
        for pid in platform.pids()["worker"]:
            platform.kill(pid)
        assert set(await _echoed(client)) <= {200, 502, 503}


def test_every_agent_answers_at_the_gateway_also_after_its_workers_have_died() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-mcp-") as folder:
        Path(folder).chmod(0o711)
        with Platform(Path(folder) / "home") as platform:
            asyncio.run(_play(platform))
