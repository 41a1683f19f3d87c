"""everything beside @modelcontextprotocol/server-everything 2026.8.31.

The same calls mean the same, but for what is listed here:

- The words around an answer, the weather of get-structured-content and the pictures are ours.
- get-resource-links begins with a text, and says of bytes that they are application/octet-stream; the original begins
  with a blob and calls both plain text. A resource says the same each time; the original puts the time into it.
- gzip-file-as-resource links to a data URL, which holds the file; the original links to a resource that is gone when
  its process ends.
- get-env tells what the agent is and none of its environment, which is no caller's business; the original shows it all.
- toggle-simulated-logging and toggle-subscriber-updates switch something on for a session. Here a request says itself
  from which level on it wants to hear, and opens a stream for what it wants to hear of.
- There are get-roots-list, trigger-sampling-request and trigger-elicitation-request for every client, told what it
  lacks where it lacks it; the original hides them from clients that have not declared what they need.
- There are ledger, ledger-count and ledger-crash, which let effects be counted from outside.
"""

import asyncio
import base64
import gzip
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.config import Settings
from tests.differential.originals import Call, from_npm, original, ours, side_by_side, tools_of

_SCRIPT = "@modelcontextprotocol/server-everything/dist/index.js"
_ADDED = {
    "get-roots-list",
    "ledger",
    "ledger-count",
    "ledger-crash",
    "trigger-elicitation-request",
    "trigger-sampling-request",
}
_LEFT_OUT = {"toggle-simulated-logging", "toggle-subscriber-updates"}


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return (*from_npm(_SCRIPT), "stdio")


@pytest.fixture
def beside(settings: Settings, command: tuple[str, ...]) -> Callable[..., None]:
    def play(scenario: Callable[[Call, Call], Awaitable[None]]) -> None:
        side_by_side(settings, "everything", command, {}, scenario)

    return play


def _shape(result: Any) -> Any:
    """A result without its words: types, URIs, audiences, sizes of what it holds."""
    return [_block(json.loads(block.model_dump_json(by_alias=True, exclude_none=True))) for block in result.content]


def _block(block: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: block[name] for name in ("type", "mimeType", "annotations") if name in block}
    if block["type"] == "image":
        kept["png"] = base64.b64decode(block["data"]).startswith(b"\x89PNG")
    if block["type"] == "resource":
        resource = block["resource"]
        kept["resource"] = (resource["uri"], "text" in resource, "blob" in resource)
    return kept


def test_the_tools_of_the_original_are_there_with_their_arguments(settings: Settings, command: tuple[str, ...]) -> None:
    theirs, mine = tools_of(settings, "everything", command, {})
    assert (set(theirs) - set(mine), set(mine) - set(theirs)) == (_LEFT_OUT, _ADDED)
    for tool in theirs.keys() & mine.keys():
        assert mine[tool].get("properties", {}).keys() == theirs[tool].get("properties", {}).keys(), tool
        assert sorted(mine[tool].get("required", [])) == sorted(theirs[tool].get("required", [])), tool


def test_the_same_calls_say_the_same(beside: Callable[..., None]) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("echo", {"message": "hello"}),
        ("echo", {"message": ""}),
        ("echo", {"message": 'Über ☃\n\t"quoted" \\'}),
        ("get-sum", {"a": 1, "b": 2}),
        ("get-sum", {"a": 0.1, "b": 0.2}),
        ("get-sum", {"a": -1e21, "b": 5}),
        ("get-sum", {"a": 1e-7, "b": 0}),
        ("get-sum", {"a": -0.5, "b": 0.5}),
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for tool, arguments in calls:
            said = await mine(tool, **arguments)
            assert said == await theirs(tool, **arguments), (tool, arguments)
            assert not said.is_error

    beside(scenario)


def test_the_same_calls_are_refused(beside: Callable[..., None]) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("echo", {}),
        ("echo", {"message": 7}),
        ("echo", {"message": None}),
        ("get-sum", {"a": "1", "b": 2}),
        ("get-sum", {"a": 1}),
        ("get-structured-content", {"location": "Rome"}),
        ("get-annotated-message", {"messageType": "x"}),
        ("get-annotated-message", {}),
        ("get-resource-links", {"count": 0}),
        ("get-resource-links", {"count": 11}),
        ("get-resource-reference", {"resourceType": "Other"}),
        ("get-resource-reference", {"resourceId": 0}),
        ("gzip-file-as-resource", {"data": "ftp://example.org/x"}),
        ("simulate-research-query", {}),
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for tool, arguments in calls:
            said = await theirs(tool, **arguments), await mine(tool, **arguments)
            assert [answer.is_error for answer in said] == [True, True], (tool, arguments, said)

    beside(scenario)


SHAPES: list[tuple[str, dict[str, Any]]] = [
    *[
        ("get-annotated-message", {"messageType": kind, "includeImage": image})
        for kind in ("error", "success", "debug")
        for image in (True, False)
    ],
    ("get-annotated-message", {"messageType": "error"}),
    ("get-tiny-image", {}),
    ("get-resource-reference", {}),
    ("get-resource-reference", {"resourceType": "Text", "resourceId": 7}),
    ("get-resource-reference", {"resourceType": "Blob", "resourceId": 2}),
    ("trigger-long-running-operation", {"duration": 0.1, "steps": 2}),
]


async def _both(settings: Settings, command: tuple[str, ...], ask: Callable[[Any], Awaitable[Any]]) -> tuple[Any, Any]:
    log = settings.home / "original.log"
    async with original(command, {}, log) as (session, _), ours(settings, "everything") as (client, _call):
        return await ask(session), await ask(client)


def _asked(settings: Settings, command: tuple[str, ...], ask: Callable[[Any], Awaitable[Any]]) -> tuple[Any, Any]:
    async def play() -> tuple[Any, Any]:
        async with asyncio.timeout(30):
            return await _both(settings, command, ask)

    return asyncio.run(play())


def test_answers_are_made_of_the_same_blocks(settings: Settings, command: tuple[str, ...]) -> None:
    async def ask(client: Any) -> list[Any]:
        return [_shape(await client.call_tool(tool, arguments)) for tool, arguments in SHAPES]

    theirs, mine = _asked(settings, command, ask)
    for (tool, arguments), original_said, said in zip(SHAPES, theirs, mine, strict=True):
        for block in (*original_said, *said):
            # A blob is called plain text by the one and bytes by the other.
            if block.get("resource"):
                block.pop("mimeType", None)
        assert said == original_said, (tool, arguments)


def test_data_has_the_same_members_and_a_text_that_says_the_same(settings: Settings, command: tuple[str, ...]) -> None:
    async def ask(client: Any) -> list[Any]:
        found = []
        for city in ("New York", "Chicago", "Los Angeles"):
            result = await client.call_tool("get-structured-content", {"location": city})
            assert json.loads(result.content[0].text) == result.structured_content
            found.append({name: type(value) is str for name, value in result.structured_content.items()})
        return found

    theirs, mine = _asked(settings, command, ask)
    assert mine == theirs


def test_links_lead_to_as_many_resources(settings: Settings, command: tuple[str, ...]) -> None:
    async def ask(client: Any) -> list[Any]:
        found = []
        for arguments in ({}, {"count": 1}, {"count": 4}):
            result = await client.call_tool("get-resource-links", arguments)
            uris = [str(block.uri) for block in result.content if block.type == "resource_link"]
            found.append([uri.rpartition("/")[2] for uri in uris])
            for uri in uris:
                assert str((await client.read_resource(uri)).contents[0].uri) == uri
        return found

    theirs, mine = _asked(settings, command, ask)
    assert mine == theirs == [["1", "2", "3"], ["1"], ["1", "2", "3", "4"]]


def test_what_is_packed_unpacks_to_the_same(settings: Settings, command: tuple[str, ...]) -> None:
    async def ask(client: Any) -> bytes:
        arguments = {"name": "a.gz", "data": "data:text/plain,hello%20there", "outputType": "resource"}
        result = await client.call_tool("gzip-file-as-resource", arguments)
        [block] = [block for block in result.content if block.type == "resource"]
        return gzip.decompress(base64.b64decode(block.resource.blob))

    assert _asked(settings, command, ask) == (b"hello there", b"hello there")


def test_resources_prompts_and_suggestions_have_the_same_names(settings: Settings, command: tuple[str, ...]) -> None:
    async def ask(client: Any) -> dict[str, Any]:
        prompts = (await client.list_prompts()).prompts
        return {
            "resources": sorted(str(one.uri) for one in (await client.list_resources()).resources),
            "templates": sorted(
                one.uri_template for one in (await client.list_resource_templates()).resource_templates
            ),
            "prompts": {one.name: sorted((a.name, bool(a.required)) for a in one.arguments or ()) for one in prompts},
            "simple": (await client.get_prompt("simple-prompt")).messages[0].content.text,
        }

    theirs, mine = _asked(settings, command, ask)
    assert mine == theirs
