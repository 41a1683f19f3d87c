"""Tools that ask their client: by answers that come back with the request, as since 2026."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import Field, create_model

from shared.config import Settings
from shared.function import Spec, spec_of, tool
from shared.mcp.tools import ActionTool
from shared.payload import Payload
from tests.mcp.served import META, Served, at, error_of, result_of
from tests.mcp.working import fixtures

__all__ = ["fixtures"]

PARAMS, MISSING, MISMATCH = -32602, -32021, -32020
CAN_ALL: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
FORM, SAMPLING = "trigger-elicitation-request", "trigger-sampling-request"
FILLED_IN = {"action": "accept", "content": {"name": "Ada"}}
RESEARCH = {"topic": "queues", "ambiguous": True}


async def _call(served: Served, name: str, can: dict[str, Any] = CAN_ALL, **params: Any) -> Any:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": can}
    return await served.modern("tools/call", {"name": name, "_meta": meta, **params})


def test_a_tool_asks_and_goes_on_with_the_answer(settings: Settings) -> None:
    async def call(served: Served) -> tuple[Any, Any, list[tuple[str, str, str]]]:
        asked = result_of(await _call(served, FORM))
        answers = {"inputResponses": {"elicitation": FILLED_IN}, "requestState": asked["requestState"]}
        return asked, result_of(await _call(served, FORM, **answers)), await served.rows()

    asked, done, rows = at(settings, call)
    assert asked["resultType"] == "input_required"
    assert asked.keys() == {"resultType", "inputRequests", "requestState", "_meta"}
    request = asked["inputRequests"]["elicitation"]
    assert (request["method"], request["params"]["requestedSchema"]["required"]) == ("elicitation/create", ["name"])
    assert (done["resultType"], done["isError"]) == ("complete", False)
    assert done["content"][0]["text"] == 'The form was filled in:\n{\n  "name": "Ada"\n}'
    assert rows == [(FORM, "succeeded", "")]


@pytest.mark.parametrize(
    "name, answer, said",
    [
        (FORM, {"action": "decline"}, "The form was declined."),
        (FORM, {"action": "cancel"}, "The form was dismissed."),
        (
            SAMPLING,
            {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hi"}},
            "The model of the client said: hi",
        ),
        ("get-roots-list", {"roots": [{"uri": "file:///a", "name": "A"}]}, "The client has 1 roots:\n1. A: file:///a"),
        ("get-roots-list", {"roots": []}, "The client has no roots."),
    ],
)
def test_whatever_is_answered_counts(settings: Settings, name: str, answer: Any, said: str) -> None:
    arguments = {"prompt": "hello"} if name == SAMPLING else {}

    async def call(served: Served) -> str:
        asked = result_of(await _call(served, name, arguments=arguments))
        [key] = asked["inputRequests"]
        given = {"inputResponses": {key: answer}, "requestState": asked["requestState"]}
        done = result_of(await _call(served, name, arguments=arguments, **given))
        return str(done["content"][0]["text"])

    assert at(settings, call) == said


def test_answers_need_no_state_and_what_was_not_asked_is_passed_over(settings: Settings) -> None:
    async def call(served: Served) -> Any:
        given = {"elicitation": FILLED_IN, "more": {"action": "accept"}}
        return result_of(await _call(served, FORM, inputResponses=given))

    assert at(settings, call)["resultType"] == "complete"


@pytest.mark.parametrize(
    "answers", [{}, {"other": FILLED_IN}, {"elicitation": {"action": "accept", "content": {"name": ""}}}]
)
def test_what_is_missing_or_does_not_fit_is_asked_again(settings: Settings, answers: dict[str, Any]) -> None:
    async def call(served: Served) -> Any:
        return result_of(await _call(served, FORM, inputResponses=answers))

    found = at(settings, call)
    assert (found["resultType"], [*found["inputRequests"]]) == ("input_required", ["elicitation"])


@pytest.mark.parametrize("answers", [None, 7, [], {"elicitation": 12345}, {"elicitation": None}])
def test_what_is_no_map_of_answers_is_an_error(settings: Settings, answers: Any) -> None:
    async def call(served: Served) -> tuple[int, int, object]:
        return error_of(await _call(served, FORM, inputResponses=answers))

    assert at(settings, call) == (400, PARAMS, 7)


def test_a_state_is_refused_where_it_was_not_given_out(settings: Settings) -> None:
    async def call(served: Served) -> list[tuple[int, int, object]]:
        asked = result_of(await _call(served, "simulate-research-query", arguments=RESEARCH))["requestState"]
        await served.here.register("bob")
        bob = replace(served, token=(await served.here.login("bob")).access_token)
        tries = [
            (served, "simulate-research-query", RESEARCH, f"{asked}-TAMPERED"),
            (served, "simulate-research-query", RESEARCH, asked[:-2]),
            (served, "simulate-research-query", RESEARCH, 7),
            (served, "simulate-research-query", {**RESEARCH, "topic": "stacks"}, asked),
            (served, FORM, {}, asked),
            (bob, "simulate-research-query", RESEARCH, asked),
        ]
        return [error_of(await _call(who, name, arguments=a, requestState=state)) for who, name, a, state in tries]

    assert at(settings, call) == [(400, PARAMS, 7)] * 6


@pytest.mark.parametrize(
    "name, arguments, needed",
    [(FORM, {}, "elicitation"), (SAMPLING, {"prompt": "a"}, "sampling"), ("get-roots-list", {}, "roots")],
)
def test_what_a_client_has_not_declared_it_is_not_asked(
    settings: Settings, name: str, arguments: dict[str, Any], needed: str
) -> None:
    others: dict[str, Any] = {kind: {} for kind in CAN_ALL if kind != needed}

    async def call(served: Served) -> tuple[tuple[int, int, object], object]:
        answer = await _call(served, name, others, arguments=arguments)
        return error_of(answer), answer.json()["error"]["data"]

    assert at(settings, call) == ((400, MISSING, 7), {"requiredCapabilities": {needed: {}}})


def test_a_caller_who_speaks_no_mcp_cannot_be_asked(settings: Settings) -> None:
    async def call(served: Served) -> dict[str, Any]:
        url = f"http://127.0.0.1:8080/{FORM}"
        answer = await served.http.post(url, headers={"authorization": f"Bearer {served.token}"})
        data: dict[str, Any] = answer.json()["data"]
        return data

    found = at(settings, call)
    assert (found["status"], found["error"]["code"]) == ("failed", "TOOL_ERROR")
    assert "elicitation" in found["error"]["message"]


def _with_header(**fields: Any) -> Spec:
    made: dict[str, Any] = {
        name: (kind, Field(json_schema_extra={"x-mcp-header": header})) for name, (kind, header) in fields.items()
    }
    payload = create_model("Asked", __base__=Payload, **made)

    @tool(effect="read")
    async def act() -> None:
        """Do it."""

    return replace(spec_of(act), payload=payload)


def test_parameters_that_headers_repeat_are_known_by_the_header() -> None:
    spec = _with_header(region=(str, "Region"), count=(int, "X-Count"), dry=(bool, "dry"))
    assert ActionTool.of(spec).offered.mirrored == {
        b"mcp-param-region": "region",
        b"mcp-param-x-count": "count",
        b"mcp-param-dry": "dry",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"a": (str, "")},
        {"a": (str, "two words")},
        {"a": (str, "line\r\nbreak")},
        {"a": (str, 7)},
        {"a": (float, "A")},
        {"a": (list[str], "A")},
        {"a": (str | None, "A")},
        {"a": (str, "Same"), "b": (str, "same")},
    ],
)
def test_a_header_that_clients_would_refuse_is_no_declaration(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="x-mcp-header"):
        ActionTool.of(_with_header(**fields))


@pytest.mark.usefixtures("fixtures")
def test_a_header_says_what_the_parameter_says(settings: Settings) -> None:
    name = "test_x_mcp_header"
    right: list[tuple[dict[str, Any], dict[str, str | None]]] = [
        ({"region": "us-west1"}, {"mcp-param-region": "us-west1"}),
        ({"region": "us-west1"}, {"mcp-param-region": "  us-west1 "}),
        ({"region": "Hello, 世界"}, {"mcp-param-region": "=?base64?SGVsbG8sIOS4lueVjA==?="}),
        ({"region": "a", "count": 42}, {"mcp-param-region": "a", "mcp-param-count": "42.0"}),
        ({"region": "a", "dry_run": True}, {"mcp-param-region": "a", "mcp-param-dry-run": "true"}),
    ]
    wrong: list[tuple[dict[str, Any], dict[str, str | None]]] = [
        ({"region": "a"}, {}),
        ({"region": "a"}, {"mcp-param-region": "b"}),
        ({"region": "a"}, {"mcp-param-region": "A"}),
        ({"region": "Hello"}, {"mcp-param-region": "=?base64?SGVsbG8?="}),
        ({"region": "Hello"}, {"mcp-param-region": "=?base64?SGVs!!!bG8=?="}),
        ({"region": "a", "count": 42}, {"mcp-param-region": "a"}),
        ({"region": "a", "count": 42}, {"mcp-param-region": "a", "mcp-param-count": "4_2"}),
        ({"region": "a", "dry_run": True}, {"mcp-param-region": "a", "mcp-param-dry-run": "True"}),
        ({"region": "a"}, {"mcp-param-region": "a", "mcp-param-count": "1"}),
    ]

    async def call(served: Served) -> tuple[list[bool], list[tuple[int, int, object]], bool]:
        async def sent(arguments: dict[str, Any], headers: dict[str, str | None]) -> Any:
            return await served.modern("tools/call", {"name": name, "arguments": arguments}, headers)

        older = result_of(await served.legacy("tools/call", {"name": name, "arguments": {"region": "a"}}))
        return (
            [result_of(await sent(*each))["isError"] for each in right],
            [error_of(await sent(*each)) for each in wrong],
            older["isError"],
        )

    assert at(settings, call) == ([False] * len(right), [(400, MISMATCH, 7)] * len(wrong), False)
