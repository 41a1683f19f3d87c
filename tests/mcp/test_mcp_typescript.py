"""The official TypeScript clients, of before and after 2026, against every agent."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shared.catalog import actions_of, agent_names
from shared.config import Settings
from shared.manifests.schemas import input_schema
from tests.mcp import node
from tests.mcp.loopback import listening
from tests.mcp.samples import ASKING, arguments_for
from tests.people import place


@pytest.fixture(scope="session")
def packages() -> Path:
    if why := node.missing():
        if os.environ.get("SUTAZAI_REQUIRE_REAL"):
            pytest.fail(why)
        pytest.skip(why)
    return node.installed()


async def _called(settings: Settings, folder: Path, agent: str, mode: str) -> dict[str, Any]:
    async with place(settings) as here:
        await here.register("ada")
        token = (await here.login("ada")).access_token
    specs = [spec for spec in actions_of(agent) if spec.tool.name not in ASKING]
    asked = {spec.tool.name: arguments_for(spec.tool.name, input_schema(spec)) for spec in specs}
    async with listening(settings, agent) as url:
        status, out, errors = await node.run(folder, "calls.mjs", url, token, mode, stdin=asked)
    assert status == 0, errors
    said: dict[str, Any] = json.loads(out)
    return said


@pytest.mark.parametrize("mode", ["v1", "legacy", "auto", "2026-07-28"])
@pytest.mark.parametrize("agent", agent_names())
def test_a_typescript_client_lists_and_calls_every_tool(
    settings: Settings, packages: Path, agent: str, mode: str
) -> None:
    said = asyncio.run(_called(settings, packages, agent, mode))
    assert said["tools"] == sorted(spec.tool.name for spec in actions_of(agent))
    assert said["results"].keys() == set(said["tools"]) - ASKING
    for name, result in said["results"].items():
        assert result["content"] or result["isError"] is False, name


def test_its_answers_are_those_of_the_tools(settings: Settings, packages: Path) -> None:
    said = asyncio.run(_called(settings, packages, "everything", "auto"))
    assert said["server"]["name"] == "everything"
    assert said["results"]["echo"]["content"] == [{"type": "text", "text": "Echo: x"}]
    weather = said["results"]["get-structured-content"]
    assert json.loads(weather["content"][0]["text"]) == weather["structuredContent"]
    assert [block["type"] for block in said["results"]["get-tiny-image"]["content"]] == ["text", "image", "text"]
