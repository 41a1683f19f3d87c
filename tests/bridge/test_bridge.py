"""One MCP server over all agents."""

import asyncio
import base64
import json
from typing import Any

import pytest

from shared.catalog import actions_of, agent_names, shown_by
from shared.config import Settings
from shared.function import Prompt, Resource
from tests.bridge.bridged import Bridged, at, result_of
from tests.mcp.served import META, error_of


def test_discovery_names_the_union_of_what_agents_can(settings: Settings) -> None:
    async def discover(here: Bridged) -> dict[str, Any]:
        return result_of(await here.modern("server/discover"))

    found = at(settings, discover)
    shown = [spec for agent in agent_names() for spec in shown_by(agent)]
    assert found["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "sutazai"
    assert {"tools", "extensions"} <= found["capabilities"].keys()
    assert ("resources" in found["capabilities"]) == any(isinstance(s.trigger, Resource) for s in shown)
    assert ("prompts" in found["capabilities"]) == any(isinstance(s.trigger, Prompt) for s in shown)
    assert "filesystem__read_text_file" in found["instructions"]


def test_every_tool_of_every_agent_is_listed_once_under_its_agents_name(settings: Settings) -> None:
    async def listed(here: Bridged) -> tuple[list[str], dict[str, Any]]:
        first = result_of(await here.modern("tools/list"))
        return [tool["name"] for tool in await here.listed("tools/list", "tools")], first

    names, first = at(settings, listed)
    expected = sorted(f"{agent}__{spec.tool.name}" for agent in agent_names() for spec in actions_of(agent))
    assert names == expected
    assert first["cacheScope"] == "private"
    assert len(first["tools"]) == min(100, len(expected))


def test_a_cursor_goes_on_behind_a_tool_that_is_gone(settings: Settings) -> None:
    cursor = base64.urlsafe_b64encode(b"everything__a-tool-that-was-here").decode().rstrip("=")

    async def listed(here: Bridged) -> tuple[str, list[tuple[int, int, object]]]:
        page = result_of(await here.modern("tools/list", {"cursor": cursor}))
        bad = ["", "!", "eA==", base64.urlsafe_b64encode(b"\x00\x01").decode().rstrip("=")]
        return page["tools"][0]["name"], [error_of(await here.modern("tools/list", {"cursor": one})) for one in bad]

    first, errors = at(settings, listed)
    assert first == min(
        name
        for agent in agent_names()
        for spec in actions_of(agent)
        if (name := f"{agent}__{spec.tool.name}") > "everything__a-tool-that-was-here"
    )
    assert errors == [(400, -32602, 7)] * 4


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_call_reaches_its_agent_and_leaves_a_row(settings: Settings, era: str) -> None:
    message = 'a "quoted" ☃ everything__echo \\ and back'
    asked = {"name": "everything__echo", "arguments": {"message": message}}

    async def call(here: Bridged) -> tuple[dict[str, Any], list[tuple[str, str, str, str]]]:
        send = here.modern if era == "modern" else here.legacy
        return result_of(await send("tools/call", asked)), await here.rows()

    result, rows = at(settings, call)
    assert result["content"] == [{"type": "text", "text": f"Echo: {message}"}]
    assert rows == [("everything", "echo", "succeeded", "")]
    assert "sutazai/task_id" in result["_meta"]


def test_many_calls_at_once_each_get_their_own_answer(settings: Settings) -> None:
    async def call(here: Bridged) -> list[str]:
        results = await asyncio.gather(*(here.call("everything__echo", message=str(n)) for n in range(60)))
        return [result["content"][0]["text"] for result in results]

    assert at(settings, call) == [f"Echo: {n}" for n in range(60)]


def test_headers_that_say_something_else_than_the_body_are_refused(settings: Settings) -> None:
    asked = {"name": "everything__echo", "arguments": {"message": "a"}}

    async def call(here: Bridged) -> list[tuple[int, int, object]]:
        wrong: list[dict[str, str | None]] = [
            {"mcp-name": "everything__get-sum"},
            {"mcp-name": "echo"},
            {"mcp-name": None},
            {"mcp-method": "tools/list"},
            {"mcp-protocol-version": "2025-11-25"},
        ]
        return [error_of(await here.modern("tools/call", asked, one)) for one in wrong]

    # Echo is what the agent knows the tool as, and what it is then compared with: a caller of the bridge says more.
    assert at(settings, call) == [(400, -32020, 7)] * 5


def test_what_nobody_has_is_an_error_that_names_it(settings: Settings) -> None:
    async def call(here: Bridged) -> list[tuple[int, int, str]]:
        names = ["echo", "everything__nothing", "nobody__echo", "__echo", "everything__"]
        answers = [await here.modern("tools/call", {"name": name, "arguments": {}}) for name in names]
        return [(a.status_code, a.json()["error"]["code"], a.json()["error"]["message"]) for a in answers]

    found = at(settings, call)
    assert [one[:2] for one in found] == [(400, -32602)] * 5
    assert found[1][2] == "Unknown tool: nothing" and found[2][2] == "Unknown tool: nobody__echo"


def test_nobody_is_let_in_without_proof(settings: Settings) -> None:
    async def call(here: Bridged) -> list[int]:
        nobody = {"authorization": None}
        asked = {"name": "everything__echo", "arguments": {"message": "a"}}
        methods: tuple[tuple[str, dict[str, Any]], ...] = (
            ("tools/list", {}),
            ("tools/call", asked),
            ("server/discover", {}),
        )
        return [(await here.modern(method, params, nobody)).status_code for method, params in methods] + [
            (await here.modern("tools/call", asked, {"authorization": "Bearer x"})).status_code,
            (await here.modern("tools/call", asked, {"host": "evil.example"})).status_code,
            (await here.modern("tools/call", asked, {"origin": "http://evil.example"})).status_code,
        ]

    assert at(settings, call) == [401, 401, 401, 401, 403, 403]


def test_resources_prompts_and_completion_go_to_their_agent_and_back(settings: Settings) -> None:
    async def ask(here: Bridged) -> dict[str, Any]:
        found: dict[str, Any] = {
            "resources": await here.listed("resources/list", "resources"),
            "templates": await here.listed("resources/templates/list", "resourceTemplates"),
            "prompts": await here.listed("prompts/list", "prompts"),
        }
        uri = found["resources"][0]["uri"]
        found["read"] = result_of(await here.modern("resources/read", {"uri": uri}))["contents"]
        found["unknown"] = error_of(await here.modern("resources/read", {"uri": "nobody+demo://x"}))[:2]
        plain = next(p for p in found["prompts"] if not any(a.get("required") for a in p.get("arguments", ())))
        found["got"] = result_of(await here.modern("prompts/get", {"name": plain["name"], "arguments": {}}))
        links = await here.call("everything__get-resource-links", count=2)
        found["links"] = [block["uri"] for block in links["content"] if block["type"] == "resource_link"]
        found["followed"] = [
            result_of(await here.modern("resources/read", {"uri": link}))["contents"][0]["uri"]
            for link in found["links"]
        ]
        return found

    found = at(settings, ask)
    uris = [one["uri"] for one in found["resources"]]
    assert uris and all(uri.startswith("everything+") for uri in uris) and len(set(uris)) == len(uris)
    assert all(one["uriTemplate"].startswith("everything+") for one in found["templates"])
    assert all(one["name"].startswith("everything__") for one in found["prompts"])
    assert found["read"][0]["uri"] == uris[0]
    assert found["unknown"] == (400, -32602)
    assert found["got"]["messages"]
    assert len(found["links"]) == 2 and found["followed"] == found["links"]


def test_a_session_that_began_at_the_bridge_goes_on_at_the_agents(settings: Settings) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    asked = {"name": "everything__echo", "arguments": {"message": "a"}}

    async def ask(here: Bridged) -> tuple[dict[str, Any], list[int]]:
        began = await here.legacy("initialize", hello)
        session: dict[str, str | None] = {"mcp-session-id": began.headers["mcp-session-id"]}
        called = await here.legacy("tools/call", asked, session)
        ended = await here.send(b"", session, method="DELETE")
        # An agent that has just looked is told within a second.
        async with asyncio.timeout(30):
            while (await here.legacy("tools/call", asked, session)).status_code != 404:
                await asyncio.sleep(0.05)
        return result_of(called), [began.status_code, ended.status_code]

    result, statuses = at(settings, ask)
    assert result["content"][0]["text"] == "Echo: a"
    assert statuses == [200, 204]


def test_progress_comes_on_a_stream_while_the_work_goes_on(settings: Settings) -> None:
    async def ask(here: Bridged) -> list[dict[str, Any]]:
        params = {
            "name": "everything__trigger-long-running-operation",
            "arguments": {"duration": 0.4, "steps": 2},
            "_meta": {**META, "progressToken": "t"},
        }
        answer = await here.modern("tools/call", params)
        assert answer.headers["content-type"] == "text/event-stream"
        return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]

    *notified, last = at(settings, ask)
    assert [one["method"] for one in notified] == ["notifications/progress"] * len(notified) and notified
    assert last["id"] == 7 and last["result"]["isError"] is False
