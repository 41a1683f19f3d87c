"""What the demonstration tools answer, as MCP content."""

import asyncio
import base64
import json
import platform
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog import action, actions_of
from shared.perform import perform
from tests.fakes import FakeRun


def outcome(tool: str, **parameters: Any) -> tuple[Any, str]:
    """The result and the error's code, as whoever calls the tool sees them."""
    spec = action("everything", tool)
    run = FakeRun()
    ended = asyncio.run(perform(spec, parameters, run=run, ports={}, timeout_s=10, attempts_left=False))
    return ended.result, ended.error.code if ended.error else ""


def blocks(tool: str, **parameters: Any) -> list[dict[str, Any]]:
    result, error = outcome(tool, **parameters)
    assert error == ""
    content: list[dict[str, Any]] = result["content"]
    return content


def said(tool: str, **parameters: Any) -> str:
    (block,) = blocks(tool, **parameters)
    assert block.keys() == {"type", "text"}
    return str(block["text"])


def test_the_agent_has_all_tools_and_each_is_found_under_its_public_name() -> None:
    specs = actions_of("everything")
    assert sorted(spec.tool.name for spec in specs) == [
        "echo",
        "get-annotated-message",
        "get-env",
        "get-resource-links",
        "get-resource-reference",
        "get-roots-list",
        "get-structured-content",
        "get-sum",
        "get-tiny-image",
        "gzip-file-as-resource",
        "ledger",
        "ledger-count",
        "ledger-crash",
        "simulate-research-query",
        "trigger-elicitation-request",
        "trigger-long-running-operation",
        "trigger-sampling-request",
    ]
    assert [action("everything", spec.tool.name).name for spec in specs] == [spec.name for spec in specs]


@pytest.mark.parametrize("message", ["", "hello", "Grüße, 世界 🌍", "two\nlines"])
def test_echo_says_the_message_back(message: str) -> None:
    assert outcome("echo", message=message) == ({"content": [{"type": "text", "text": f"Echo: {message}"}]}, "")


@pytest.mark.parametrize(
    "a, b, words",
    [
        (1, 2, "1 and 2 is 3"),
        (1.0, -2, "1 and -2 is -1"),
        (0.1, 0.2, "0.1 and 0.2 is 0.30000000000000004"),
        (-0.0, 0, "0 and 0 is 0"),
        (1e20, 1, "100000000000000000000 and 1 is 100000000000000000000"),
        (1e21, 1e300, "1e+21 and 1e+300 is 1e+300"),
        (1e-6, 1e-7, "0.000001 and 1e-7 is 0.0000011"),
        (2.5e-10, 0, "2.5e-10 and 0 is 2.5e-10"),
    ],
)
def test_a_sum_is_written_as_javascript_writes_numbers(a: float, b: float, words: str) -> None:
    assert said("get-sum", a=a, b=b) == f"The sum of {words}."


@given(st.floats(-1e100, 1e100), st.floats(-1e100, 1e100))
def test_the_numbers_of_a_sum_read_back_as_they_were(a: float, b: float) -> None:
    words = said("get-sum", a=a, b=b).removesuffix(".").split(" ")
    assert [float(words[3]), float(words[5]), float(words[7])] == [a, b, a + b]


def test_a_sum_beyond_64_bits_is_refused() -> None:
    assert outcome("get-sum", a=1.7e308, b=1.7e308) == (None, "TOOL_ERROR")


@pytest.mark.parametrize("location", ["New York", "Chicago", "Los Angeles"])
def test_structured_content_is_fields_and_nothing_else(location: str) -> None:
    result, _ = outcome("get-structured-content", location=location)
    assert {name: type(value) for name, value in result.items()} == {
        "temperature": float,
        "conditions": str,
        "humidity": float,
    }


def test_the_tiny_image_is_a_png_whose_every_chunk_is_whole() -> None:
    before, image, after = blocks("get-tiny-image")
    assert (before["type"], after["type"]) == ("text", "text")
    assert (image["type"], image["mimeType"]) == ("image", "image/png")
    png = base64.b64decode(image["data"], validate=True)
    chunks = _chunks(png)
    width, height, depth, colour, *_ = struct.unpack("!IIBBBBB", chunks[b"IHDR"])
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert (width, height, depth, colour) == (16, 16, 8, 2)
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (1 + width * 3)


def _chunks(png: bytes) -> dict[bytes, bytes]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    found, at = {}, 8
    while at < len(png):
        size, kind = struct.unpack("!I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + size]
        assert struct.unpack("!I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + body),)
        found[kind] = body
        at += 12 + size
    return found


@pytest.mark.parametrize(
    "kind, annotations",
    [
        ("error", {"audience": ["user", "assistant"], "priority": 1.0}),
        ("success", {"audience": ["user"], "priority": 0.7}),
        ("debug", {"audience": ["assistant"], "priority": 0.3}),
    ],
)
def test_a_message_is_annotated_by_its_type(kind: str, annotations: object) -> None:
    (message,) = blocks("get-annotated-message", messageType=kind)
    assert (message["type"], message["annotations"]) == ("text", annotations)
    same, image = blocks("get-annotated-message", messageType=kind, includeImage=True)
    assert same == message
    assert (image["type"], image["annotations"]) == ("image", {"audience": ["user"], "priority": 0.5})


def test_resource_links_are_as_many_as_asked_for_and_lead_to_texts_and_blobs_in_turn() -> None:
    intro, *links = blocks("get-resource-links", count=2)
    assert intro["type"] == "text"
    assert links == [
        {
            "type": "resource_link",
            "uri": "demo://resource/dynamic/text/1",
            "name": "text resource 1",
            "description": "Demonstration resource 1, a text",
            "mimeType": "text/plain",
        },
        {
            "type": "resource_link",
            "uri": "demo://resource/dynamic/blob/2",
            "name": "blob resource 2",
            "description": "Demonstration resource 2, a blob",
            "mimeType": "application/octet-stream",
        },
    ]
    assert len(blocks("get-resource-links")) == 1 + 3
    assert len(blocks("get-resource-links", count=10)) == 1 + 10


def test_a_resource_reference_holds_the_resource_between_two_texts() -> None:
    before, text, after = blocks("get-resource-reference")
    assert [block["type"] for block in (before, text, after)] == ["text", "resource", "text"]
    assert text["resource"]["uri"] == "demo://resource/dynamic/text/1"
    assert text["resource"].keys() == {"uri", "mimeType", "text"}
    _, blob, _ = blocks("get-resource-reference", resourceType="Blob", resourceId=7)
    assert blob["resource"]["uri"] == "demo://resource/dynamic/blob/7"
    assert b"Resource 7" in base64.b64decode(blob["resource"]["blob"], validate=True)


def test_the_environment_is_shown_by_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("SUTAZAI_POSTGRES_URL", "postgres://canary")
    monkeypatch.setenv("TZ_TOKEN", "canary")
    shown = json.loads(said("get-env"))
    assert shown["TZ"] == "Europe/Berlin"
    assert shown["PYTHON_VERSION"] == platform.python_version()
    assert shown.keys() <= {"LANG", "LC_ALL", "LC_TIME", "PYTHON_VERSION", "SUTAZAI_VERSION", "TZ"}
    assert "canary" not in json.dumps(shown)


def test_a_long_operation_reports_each_step_and_then_its_end() -> None:
    spec = action("everything", "trigger-long-running-operation")
    run = FakeRun()
    asked = {"duration": 0.01, "steps": 4}
    ended = asyncio.run(perform(spec, asked, run=run, ports={}, timeout_s=10, attempts_left=False))
    assert run.reported == [
        (25.0, "step 1 of 4"),
        (50.0, "step 2 of 4"),
        (75.0, "step 3 of 4"),
        (100.0, "step 4 of 4"),
    ]
    assert ended.result == {
        "content": [{"type": "text", "text": "The operation is complete. Duration: 0.01 seconds, steps: 4."}]
    }


@pytest.mark.parametrize(
    "tool, parameters",
    [
        ("echo", {}),
        ("echo", {"message": 1}),
        ("echo", {"message": "a", "more": 1}),
        ("get-sum", {"a": 1}),
        ("get-sum", {"a": "1", "b": 2}),
        ("get-sum", {"a": True, "b": 2}),
        ("get-structured-content", {"location": "Paris"}),
        ("get-annotated-message", {"messageType": "warning"}),
        ("get-annotated-message", {"messageType": "error", "includeImage": "yes"}),
        ("get-resource-links", {"count": 0}),
        ("get-resource-links", {"count": 11}),
        ("get-resource-reference", {"resourceType": "text"}),
        ("get-resource-reference", {"resourceId": 0}),
        ("trigger-long-running-operation", {"duration": 61}),
        ("trigger-long-running-operation", {"duration": -1}),
        ("trigger-long-running-operation", {"steps": 0}),
        ("trigger-long-running-operation", {"steps": 1001}),
    ],
)
def test_what_a_tool_does_not_take_is_a_validation_error(tool: str, parameters: dict[str, Any]) -> None:
    assert outcome(tool, **parameters) == (None, "VALIDATION_ERROR")
