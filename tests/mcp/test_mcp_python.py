"""The official Python client, in each of its modes, against every agent."""

from typing import Any, Literal

import httpx2
import jsonschema
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, PromptReference, Root, TextContent

from shared.catalog import actions_of, agent_names
from shared.config import Settings
from shared.manifests.schemas import input_schema
from tests.mcp.replicas import Replicas, among
from tests.mcp.samples import ASKING, arguments_for
from tests.mcp.served import Served, at

Mode = Literal["auto", "legacy", "2026-07-28"]


def _http(served: Served) -> httpx2.AsyncClient:
    bearer = {"authorization": f"Bearer {served.token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=served.app), headers=bearer)


async def _filled_in(context: Any, params: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": "Ada"})


async def _sampled(context: Any, params: Any) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content=TextContent(type="text", text="hi"), model="m")


async def _roots(context: Any) -> ListRootsResult:
    return ListRootsResult(roots=[Root(uri="file:///a", name="A")])


_ANSWERING: dict[str, Any] = {
    "elicitation_callback": _filled_in,
    "sampling_callback": _sampled,
    "list_roots_callback": _roots,
}


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
@pytest.mark.parametrize("agent", agent_names())
def test_every_tool_is_listed_and_answers_as_its_schema_says(settings: Settings, agent: str, mode: Mode) -> None:
    specs = {spec.tool.name: spec for spec in actions_of(agent)}

    async def call(served: Served) -> tuple[str, dict[str, tuple[Any, Any]]]:
        transport = streamable_http_client
        async with _http(served) as http, Client(transport(served.url, http_client=http), mode=mode, **_ANSWERING) as c:
            listed = (await c.list_tools()).tools
            called = {}
            for tool in listed:
                if mode == "legacy" and tool.name in ASKING:
                    # They are asked on a stream, which this transport gives whole.
                    specs.pop(tool.name)
                    continue
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


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_what_a_tool_asks_is_answered_by_callbacks(settings: Settings, mode: Mode) -> None:
    async def call(replicas: Replicas) -> list[str]:
        bearer = {"authorization": f"Bearer {replicas.token}"}
        asked: list[tuple[str, dict[str, Any]]] = [
            ("trigger-elicitation-request", {}),
            ("trigger-sampling-request", {"prompt": "hello"}),
            ("get-roots-list", {}),
        ]
        async with (
            httpx2.AsyncClient(headers=bearer, trust_env=False) as http,
            Client(
                streamable_http_client(replicas.urls[0], http_client=http),
                mode=mode,
                **_ANSWERING,
            ) as client,
        ):
            results = [await client.call_tool(name, arguments) for name, arguments in asked]
            return [result.content[0].text for result in results]  # type: ignore[union-attr]

    assert among(settings, call) == [
        'The form was filled in:\n{\n  "name": "Ada"\n}',
        "The model of the client said: hi",
        "The client has 1 roots:\n1. A: file:///a",
    ]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_progress_resources_prompts_and_suggestions_arrive(settings: Settings, mode: Mode) -> None:
    async def call(replicas: Replicas) -> tuple[Any, ...]:
        bearer = {"authorization": f"Bearer {replicas.token}"}
        heard: list[tuple[float, float | None, str | None]] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            heard.append((progress, total, message))

        async with (
            httpx2.AsyncClient(headers=bearer, trust_env=False) as http,
            Client(streamable_http_client(replicas.urls[0], http_client=http), mode=mode) as client,
        ):
            asked = {"duration": 0.2, "steps": 2}
            await client.call_tool("trigger-long-running-operation", asked, progress_callback=hear)
            resources = (await client.list_resources()).resources
            templates = (await client.list_resource_templates()).resource_templates
            text = (await client.read_resource("demo://resource/dynamic/text/3")).contents[0]
            prompts = (await client.list_prompts()).prompts
            prompt = await client.get_prompt("args-prompt", {"city": "Oslo"})
            reference = PromptReference(type="ref/prompt", name="completable-prompt")
            suggested = await client.complete(reference, {"name": "department", "value": "e"})
            return (
                heard,
                (len(resources), len(templates), len(prompts)),
                text.text,  # type: ignore[union-attr]
                prompt.messages[0].content.text,  # type: ignore[union-attr]
                suggested.completion.values,
            )

    heard, counted, text, prompt, suggested = among(settings, call)
    assert heard == [(50, 100, "step 1 of 2"), (100, 100, "step 2 of 2")]
    assert counted == (7, 2, 4)
    assert text == "Resource 3: this text was made for demonstration."
    assert (prompt, suggested) == ("What's the weather in Oslo?", ["Engineering"])
