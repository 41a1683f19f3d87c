"""The official Python client, in each of its modes, against every agent."""

from typing import Any, Literal

import httpx2
import jsonschema
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from shared.catalog import actions_of, agent_names
from shared.config import Settings
from shared.manifests.schemas import input_schema
from tests.mcp.samples import arguments_for
from tests.mcp.served import Served, at

Mode = Literal["auto", "legacy", "2026-07-28"]


def _http(served: Served) -> httpx2.AsyncClient:
    bearer = {"authorization": f"Bearer {served.token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=served.app), headers=bearer)


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
@pytest.mark.parametrize("agent", agent_names())
def test_every_tool_is_listed_and_answers_as_its_schema_says(settings: Settings, agent: str, mode: Mode) -> None:
    specs = {spec.tool.name: spec for spec in actions_of(agent)}

    async def call(served: Served) -> tuple[str, dict[str, tuple[Any, Any]]]:
        async with _http(served) as http, Client(streamable_http_client(served.url, http_client=http), mode=mode) as c:
            listed = (await c.list_tools()).tools
            called = {}
            for tool in listed:
                arguments = arguments_for(tool.name, input_schema(specs[tool.name]))
                jsonschema.Draft202012Validator(tool.input_schema).validate(arguments)
                called[tool.name] = (tool, await c.call_tool(tool.name, arguments))
            return c.protocol_version, called

    version, called = at(settings, call, agent=agent)
    assert version == ("2025-11-25" if mode == "legacy" else "2026-07-28")
    assert called.keys() == specs.keys()
    for tool, result in called.values():
        if result.is_error:
            assert [block.type for block in result.content] == ["text"], tool.name
        elif tool.output_schema is not None:
            jsonschema.Draft202012Validator(tool.output_schema).validate(result.structured_content)
        else:
            assert result.structured_content is None, tool.name


def test_media_arrive_as_blocks_and_as_data(settings: Settings) -> None:
    async def call(served: Served) -> Any:
        async with _http(served) as http, Client(streamable_http_client(served.url, http_client=http)) as client:
            await client.call_tool("write_file", {"path": "/dot.png", "content": "a dot"})
            return await client.call_tool("read_media_file", {"path": "/dot.png"})

    result = at(settings, call, agent="filesystem")
    block = {"type": "image", "data": "YSBkb3Q=", "mimeType": "image/png"}
    assert [part.model_dump(by_alias=True, exclude_none=True) for part in result.content] == [block]
    assert result.structured_content == {"content": [block]}


def test_an_unknown_tool_is_an_error_and_no_result(settings: Settings) -> None:
    async def call(served: Served) -> int:
        async with _http(served) as http, Client(streamable_http_client(served.url, http_client=http)) as client:
            with pytest.raises(MCPError) as raised:
                await client.call_tool("nothing", {})
            return raised.value.error.code

    assert at(settings, call) == -32602
