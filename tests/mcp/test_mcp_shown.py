"""Resources, templates, prompts and suggestions, as a client of either era gets them."""

import base64
from typing import Any

import pytest

from shared.config import Settings
from shared.errors import NotFound, ToolError
from shared.function import Icon, Spec, prompt, resource, spec_of
from shared.mcp.shown import ShownPrompt, ShownResource
from shared.payload import Payload
from tests.mcp.served import Served, at, error_of, result_of

PARAMS, NOT_FOUND = -32602, -32002
TEXT, BLOB = "demo://resource/dynamic/text/7", "demo://resource/dynamic/blob/7"
KEPT = {"ttlMs": 300_000, "cacheScope": "public"}


def _hints(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("ttlMs", "cacheScope") if name in result}


async def _modern(served: Served, method: str, **params: Any) -> dict[str, Any]:
    named = {"mcp-name": str(name)} if (name := params.get("uri", params.get("name"))) is not None else {}
    return result_of(await served.modern(method, params, named))


def test_resources_are_listed_by_uri_and_templates_apart(settings: Settings) -> None:
    async def listed(served: Served) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return (
            await _modern(served, "resources/list"),
            await _modern(served, "resources/templates/list"),
            result_of(await served.legacy("resources/list")),
        )

    resources, templates, legacy = at(settings, listed)
    assert (_hints(resources), _hints(templates), _hints(legacy)) == (KEPT, KEPT, {})
    assert resources["resources"] == legacy["resources"]
    names = ("architecture", "extension", "features", "how-it-works", "instructions", "startup", "structure")
    uris = [f"demo://resource/static/document/{name}.md" for name in names]
    assert [each["uri"] for each in resources["resources"]] == uris
    assert resources["resources"][0] == {
        "uri": uris[0],
        "name": "architecture.md",
        "title": "Document: architecture.md",
        "description": "A text in Markdown that is the same for everybody.",
        "mimeType": "text/markdown",
    }
    assert [(each["uriTemplate"], each["mimeType"]) for each in templates["resourceTemplates"]] == [
        ("demo://resource/dynamic/blob/{resourceId}", "application/octet-stream"),
        ("demo://resource/dynamic/text/{resourceId}", "text/plain"),
    ]


def test_text_and_bytes_are_read(settings: Settings) -> None:
    async def read(served: Served) -> list[dict[str, Any]]:
        document = "demo://resource/static/document/startup.md"
        return [await _modern(served, "resources/read", uri=uri) for uri in (TEXT, BLOB, document)]

    text, blob, document = at(settings, read)
    said = "Resource 7: this text was made for demonstration."
    assert text["contents"] == [{"uri": TEXT, "mimeType": "text/plain", "text": said}]
    assert _hints(text) == {"ttlMs": 60_000, "cacheScope": "public"}
    bytes_said = base64.b64encode(b"Resource 7: these bytes were made for demonstration.").decode()
    assert blob["contents"] == [{"uri": BLOB, "mimeType": "application/octet-stream", "blob": bytes_said}]
    assert document["contents"][0]["text"].startswith("# Startup\n")


@pytest.mark.parametrize(
    "uri", ["demo://nothing", "demo://resource/static/document/none.md", "file:///etc/passwd", "", f"{TEXT}/8"]
)
def test_a_resource_that_is_not_there_is_an_error_of_each_era(settings: Settings, uri: str) -> None:
    async def read(served: Served) -> list[tuple[tuple[int, int, object], object]]:
        answers = [
            await served.modern("resources/read", {"uri": uri}, {"mcp-name": uri}),
            await served.legacy("resources/read", {"uri": uri}),
        ]
        return [(error_of(answer), answer.json()["error"]["data"]) for answer in answers]

    assert at(settings, read) == [((400, PARAMS, 7), {"uri": uri}), ((200, NOT_FOUND, 7), {"uri": uri})]


def test_a_value_that_a_template_does_not_take_is_said(settings: Settings) -> None:
    async def read(served: Served) -> list[tuple[int, int, object]]:
        uris = ["demo://resource/dynamic/text/0", "demo://resource/dynamic/text/one"]
        return [error_of(await served.modern("resources/read", {"uri": uri}, {"mcp-name": uri})) for uri in uris]

    assert at(settings, read) == [(400, PARAMS, 7)] * 2


def test_prompts_are_listed_with_their_arguments_and_made(settings: Settings) -> None:
    async def get(served: Served) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        asked: list[tuple[str, dict[str, str]]] = [
            ("simple-prompt", {}),
            ("args-prompt", {"city": "Oslo"}),
            ("args-prompt", {"city": "Austin", "state": "Texas"}),
            ("resource-prompt", {"resourceType": "Text", "resourceId": "7"}),
        ]
        got = [await _modern(served, "prompts/get", name=name, arguments=arguments) for name, arguments in asked]
        return await _modern(served, "prompts/list"), got

    listed, (simple, city, state, embedded) = at(settings, get)
    assert _hints(listed) == KEPT
    assert [each["name"] for each in listed["prompts"]] == [
        "args-prompt",
        "completable-prompt",
        "resource-prompt",
        "simple-prompt",
    ]
    assert listed["prompts"][0]["arguments"] == [
        {"name": "city", "description": "Name of the city", "required": True},
        {"name": "state", "description": "Name of the state", "required": False},
    ]
    assert "arguments" not in listed["prompts"][3]
    assert simple["description"] == "Start a conversation, to see that prompts arrive."
    assert _hints(simple) == {}
    texts = [each["messages"][0]["content"]["text"] for each in (simple, city, state)]
    assert texts == [
        "This is a simple prompt without arguments.",
        "What's the weather in Oslo?",
        "What's the weather in Austin, Texas?",
    ]
    assert embedded["messages"][1] == {
        "role": "user",
        "content": {
            "type": "resource",
            "resource": {
                "uri": TEXT,
                "mimeType": "text/plain",
                "text": "Resource 7: this text was made for demonstration.",
            },
        },
    }


def test_a_prompt_that_is_not_there_or_not_as_declared_is_an_error(settings: Settings) -> None:
    wrong: list[dict[str, Any]] = [
        {"name": "nothing"},
        {"name": "args-prompt"},
        {"name": "args-prompt", "arguments": {"city": 7}},
        {"name": "args-prompt", "arguments": {"city": "Oslo", "country": "Norway"}},
        {"name": "args-prompt", "arguments": ["Oslo"]},
        {"name": "resource-prompt", "arguments": {"resourceType": "Text", "resourceId": "none"}},
    ]

    async def get(served: Served) -> list[tuple[int, int, object]]:
        return [error_of(await served.modern("prompts/get", params)) for params in wrong]

    assert at(settings, get) == [(400, PARAMS, 7)] * len(wrong)


def test_suggestions_follow_what_was_typed_and_what_is_known(settings: Settings) -> None:
    team = {"type": "ref/prompt", "name": "completable-prompt"}
    number = {"type": "ref/resource", "uri": "demo://resource/dynamic/text/{resourceId}"}
    asked: list[dict[str, Any]] = [
        {"ref": team, "argument": {"name": "department", "value": "s"}},
        {
            "ref": team,
            "argument": {"name": "name", "value": ""},
            "context": {"arguments": {"department": "Sales"}},
        },
        {"ref": team, "argument": {"name": "name", "value": ""}},
        {"ref": number, "argument": {"name": "resourceId", "value": "4"}},
        {"ref": {"type": "ref/prompt", "name": "simple-prompt"}, "argument": {"name": "x", "value": ""}},
    ]

    async def complete(served: Served) -> list[Any]:
        return [(await _modern(served, "completion/complete", **params))["completion"] for params in asked]

    teams, sales, nobody, numbers, nothing = at(settings, complete)
    assert teams == {"values": ["Sales", "Support"], "total": 2, "hasMore": False}
    assert sales["values"] == ["David", "Eve", "Frank"]
    assert nobody["values"] == nothing["values"] == []
    assert numbers["values"] == ["4", *(f"4{digit}" for digit in range(10))]


def test_what_nobody_can_suggest_for_is_an_error(settings: Settings) -> None:
    argument = {"name": "a", "value": ""}
    wrong: list[dict[str, Any]] = [
        {"ref": {"type": "ref/prompt", "name": "nothing"}, "argument": argument},
        {"ref": {"type": "ref/resource", "uri": "demo://nothing"}, "argument": argument},
        {"ref": {"type": "ref/other"}, "argument": argument},
        {"ref": "simple-prompt", "argument": argument},
        {"ref": {"type": "ref/prompt", "name": "simple-prompt"}, "argument": {"name": "a", "value": 7}},
        {"ref": {"type": "ref/prompt", "name": "simple-prompt"}, "argument": argument, "context": {"arguments": [1]}},
    ]

    async def complete(served: Served) -> list[tuple[int, int, object]]:
        return [error_of(await served.modern("completion/complete", params)) for params in wrong]

    assert at(settings, complete) == [(400, PARAMS, 7)] * len(wrong)


def test_older_clients_may_follow_a_resource_that_is_there(settings: Settings) -> None:
    async def follow(served: Served) -> tuple[Any, Any, tuple[int, int, object]]:
        return (
            result_of(await served.legacy("resources/subscribe", {"uri": TEXT})),
            result_of(await served.legacy("resources/unsubscribe", {"uri": TEXT})),
            error_of(await served.legacy("resources/subscribe", {"uri": "demo://nothing"})),
        )

    assert at(settings, follow) == ({}, {}, (200, NOT_FOUND, 7))


class Named(Payload):
    name: str


def _resource(uri: str, **said: Any) -> Spec:
    @resource(uri, **said)
    async def act(request: Named) -> str:
        """Say it."""
        raise NotFound("nothing")

    return spec_of(act)


def test_a_declaration_says_for_whom_it_is_and_how_it_looks() -> None:
    icon = Icon(src="https://example.org/a.png", mime_type="image/png", sizes=("48x48",))
    shown = ShownResource(_resource("demo://{name}", audience=("user",), priority=0.5, icons=(icon,)))
    [(uri, definition)] = shown.definitions
    assert (uri, shown.is_template) == ("demo://{name}", True)
    assert definition == {
        "uriTemplate": "demo://{name}",
        "name": "act",
        "title": "Act",
        "description": "Say it.",
        "mimeType": "text/plain",
        "annotations": {"audience": ["user"], "priority": 0.5},
        "icons": [{"src": "https://example.org/a.png", "mimeType": "image/png", "sizes": ["48x48"]}],
    }


@pytest.mark.parametrize("uri, listed", [("demo://{other}", ()), ("demo://x", ()), ("demo://{name}/{more}", ("a",))])
def test_a_template_that_the_payload_does_not_fit_is_refused(uri: str, listed: tuple[str, ...]) -> None:
    with pytest.raises(TypeError):
        ShownResource(_resource(uri, listed=listed))


def test_a_prompt_may_be_one_text() -> None:
    @prompt(name="a-prompt")
    async def act() -> str:
        """Say it."""
        raise ToolError("not called")

    shown = ShownPrompt(spec_of(act))
    assert shown.definition == {"name": "a-prompt", "title": "A prompt", "description": "Say it."}
    assert shown.members("hi") == (
        b'"description":"Say it.","messages":[{"role":"user","content":{"type":"text","text":"hi"}}]'
    )
