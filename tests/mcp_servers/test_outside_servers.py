"""Real servers outside join the bridge, are called through it, and are let in by an operator alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from shared.config import Settings
from tests.bridge.bridged import Bridged, bridged
from tests.mcp.served import error_of
from tests.mcp_servers.outside import allowing, notes, running, weather

T = TypeVar("T")


def beside(settings: Settings, app: Any, scenario: Callable[[Bridged, int], Awaitable[T]]) -> T:
    """Plays a scenario with a server outside at a port."""

    async def play() -> T:
        async with asyncio.timeout(90), running(app) as port, bridged(allowing(settings, port)) as here:
            return await scenario(here, port)

    return asyncio.run(play())


async def let_in(here: Bridged, name: str, url: str, **headers: str) -> dict[str, Any]:
    root = here.as_("root")
    added = await root.data("POST", "/mcp-servers", {"name": name, "url": url, "headers": headers})
    digests = {tool["name"]: tool["digest"] for tool in added["tools"]}
    approved: dict[str, Any] = await root.data("POST", f"/mcp-servers/{name}/approve", {"tools": digests})
    return approved


@pytest.mark.parametrize(
    "app, tool, arguments", [(weather, "forecast", {"city": "Bonn"}), (notes, "shout", {"text": "a"})]
)
def test_a_real_server_is_added_approved_listed_and_called(
    settings: Settings, app: Callable[[], Any], tool: str, arguments: dict[str, Any]
) -> None:
    async def scenario(here: Bridged, port: int) -> tuple[Any, ...]:
        root = here.as_("root")
        added = await root.data("POST", "/mcp-servers", {"name": "far", "url": f"http://127.0.0.1:{port}/mcp"})
        before = [t["name"] for t in await here.listed("tools/list", "tools") if t["name"].startswith("far__")]
        refused = await here.modern("tools/call", {"name": f"far__{tool}", "arguments": arguments})
        digests = {one["name"]: one["digest"] for one in added["tools"]}
        approved = await root.data("POST", "/mcp-servers/far/approve", {"tools": digests})
        await asyncio.sleep(1.1)
        after = [t["name"] for t in await here.listed("tools/list", "tools") if t["name"].startswith("far__")]
        result = await here.call(f"far__{tool}", **arguments)
        return added, before, refused, approved, after, result, await here.rows()

    added, before, refused, approved, after, result, rows = beside(settings, app(), scenario)
    assert (added["status"], [one["state"] for one in added["tools"]]) == ("ok", ["waiting"])
    assert added["protocol"] in ("2026-07-28", "2025-11-25")
    assert before == [] and after == [f"far__{tool}"]
    assert "has not been approved" in refused.text
    assert [one["state"] for one in approved["tools"]] == ["approved"]
    assert result["isError"] is False and result["content"][0]["type"] == "text"
    assert ("far", tool, "succeeded", "") in rows


def test_what_a_tool_outside_cannot_do_is_said_in_its_words(settings: Settings) -> None:
    async def scenario(here: Bridged, port: int) -> tuple[dict[str, Any], Any]:
        await let_in(here, "far", f"http://127.0.0.1:{port}/mcp")
        return await here.call("far__forecast", city="Atlantis"), await here.rows()

    result, rows = beside(settings, weather(), scenario)
    assert result["isError"] is True and "no such city" in result["content"][0]["text"]
    assert rows == [("far", "forecast", "failed", "TOOL_ERROR")]


def test_a_server_that_is_removed_is_gone_with_its_tools(settings: Settings) -> None:
    async def scenario(here: Bridged, port: int) -> tuple[Any, ...]:
        await let_in(here, "far", f"http://127.0.0.1:{port}/mcp")
        await here.call("far__shout", text="a")
        removed = await here.as_("root").api("DELETE", "/mcp-servers/far")
        again = await here.as_("root").api("DELETE", "/mcp-servers/far")
        await asyncio.sleep(1.1)
        gone = await here.modern("tools/call", {"name": "far__shout", "arguments": {"text": "a"}})
        return removed.status_code, again.status_code, error_of(gone), await here.here.acts(), await _events(here)

    removed, again, gone, acts, events = beside(settings, notes(), scenario)
    assert (removed, again, gone) == (200, 404, (400, -32602, 7))
    assert [act for act in acts if act[0].startswith("mcp_servers.")] == [
        ("mcp_servers.add_mcp_server", "done"),
        ("mcp_servers.approve_mcp_server", "done"),
        ("mcp_servers.delete_mcp_server", "done"),
        ("mcp_servers.delete_mcp_server", "refused"),
    ]
    assert events == ["mcp_server.added.v1", "mcp_server.approved.v1", "mcp_server.removed.v1"]


async def _events(here: Bridged) -> list[str]:
    query = "SELECT type FROM events WHERE type LIKE 'mcp_server.%' ORDER BY position"
    return [row["type"] for row in await here.here.database.fetch(query)]
