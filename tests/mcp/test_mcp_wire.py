"""What goes over the wire, rule by rule: 2026-07-28, and the revisions with a handshake."""

import json
from typing import Any

import httpx
import jsonschema
import pytest

from shared.config import Settings
from shared.mcp.headers import decoded
from tests.mcp.served import META, MODERN, ORIGIN, Served, at, error_of, result_of
from tests.people import CURL

PARSE, INVALID, UNKNOWN, PARAMS = -32700, -32600, -32601, -32602
MISMATCH, VERSION = -32020, -32022
ECHO = {"name": "echo", "arguments": {"message": "hello"}}
SERVER = {"name": "everything", "title": "Everything", "version": "0.1.0"}
Override = dict[str, str | None]


def _errors(settings: Settings, *asked: tuple[Any, Override]) -> list[tuple[int, int, object]]:
    """Of bodies and headers, in order."""

    async def send(served: Served) -> list[tuple[int, int, object]]:
        return [error_of(await served.send(body, headers)) for body, headers in asked]

    return at(settings, send)


def test_discovery_names_versions_capabilities_and_the_server(settings: Settings) -> None:
    async def discover(served: Served) -> dict[str, Any]:
        return result_of(await served.modern("server/discover"))

    found = at(settings, discover)
    assert found == {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
        "capabilities": {
            "tools": {"listChanged": False},
            "resources": {"listChanged": False, "subscribe": False},
            "prompts": {"listChanged": False},
            "completions": {},
            "logging": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}},
        },
        "instructions": "Utilities that exercise every feature of the platform, and a ledger that counts effects.",
        "ttlMs": 3_600_000,
        "cacheScope": "public",
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER},
    }


def test_tools_are_listed_with_schemas_and_hints_and_may_be_kept(settings: Settings) -> None:
    async def listed(served: Served) -> dict[str, Any]:
        return result_of(await served.modern("tools/list"))

    found = at(settings, listed)
    tools = {tool["name"]: tool for tool in found.pop("tools")}
    assert found == {
        "resultType": "complete",
        "ttlMs": 300_000,
        "cacheScope": "public",
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER},
    }
    assert list(tools) == sorted(tools)
    assert tools["echo"] == {
        "name": "echo",
        "title": "Echo",
        "description": "Return the message, to see that calls arrive and answers come back.",
        "inputSchema": {
            "type": "object",
            "title": "Echo",
            "properties": {"message": {"type": "string"}},
            "required": ["message"],
            "additionalProperties": False,
        },
        "annotations": {
            "title": "Echo",
            "readOnlyHint": True,
            "destructiveHint": False,
            "idempotentHint": True,
            "openWorldHint": False,
        },
    }
    assert tools["get-structured-content"]["outputSchema"]["required"] == ["temperature", "conditions", "humidity"]
    assert tools["ledger"]["annotations"]["openWorldHint"] is True
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        jsonschema.Draft202012Validator.check_schema(tool.get("outputSchema", {}))


def test_a_call_is_answered_with_content_and_leaves_one_row_under_the_id_it_names(settings: Settings) -> None:
    async def call(served: Served) -> tuple[dict[str, Any], list[tuple[str, str, str]], str]:
        result = result_of(await served.modern("tools/call", ECHO))
        task_id = await served.here.database.fetchval("SELECT id FROM agent_executions")
        return result, await served.rows(), str(task_id)

    result, rows, task_id = at(settings, call)
    assert result == {
        "resultType": "complete",
        "content": [{"type": "text", "text": "Echo: hello"}],
        "isError": False,
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER, "sutazai/task_id": task_id},
    }
    assert rows == [("echo", "succeeded", "")]


def test_an_object_is_structured_and_said_as_text_too(settings: Settings) -> None:
    asked = {"name": "get-structured-content", "arguments": {"location": "Chicago"}}

    async def call(served: Served) -> dict[str, Any]:
        return result_of(await served.modern("tools/call", asked))

    result = at(settings, call)
    assert result["structuredContent"] == {"temperature": 4.0, "conditions": "Light rain", "humidity": 85.0}
    assert [json.loads(block["text"]) for block in result["content"]] == [result["structuredContent"]]


def test_what_a_tool_cannot_do_is_a_result_that_says_what_to_do_differently(settings: Settings) -> None:
    huge = {"name": "get-sum", "arguments": {"a": 1.7e308, "b": 1.7e308}}
    wrong = {"name": "echo", "arguments": {"message": 7, "loud": True}}
    needless = {"name": "get-env", "arguments": {"all": True}}

    async def call(served: Served) -> tuple[list[dict[str, Any]], list[tuple[str, str, str]]]:
        return [result_of(await served.modern("tools/call", asked)) for asked in (huge, wrong, needless)], (
            await served.rows()
        )

    wrongs = "message: Input should be a valid string; loud: Extra inputs are not permitted"
    results, rows = at(settings, call)
    assert [result["isError"] for result in results] == [True, True, True]
    assert [result["content"][0]["text"] for result in results] == [
        "the sum is beyond what a 64-bit number holds; use smaller numbers",
        f"the parameters are not as declared: {wrongs}",
        "this tool takes no parameters",
    ]
    assert rows == [
        ("get-sum", "failed", "TOOL_ERROR"),
        ("echo", "failed", "VALIDATION_ERROR"),
        ("get-env", "failed", "VALIDATION_ERROR"),
    ]


def test_an_unknown_tool_and_malformed_parameters_are_errors_of_the_protocol(settings: Settings) -> None:
    async def call(served: Served) -> list[tuple[int, int, object]]:
        params: list[dict[str, Any]] = [
            {"name": "nothing", "arguments": {}},
            {"name": "echo", "arguments": ["hello"]},
            {"arguments": {}},
        ]
        return [error_of(await served.modern("tools/call", given)) for given in params] + [
            error_of(await served.modern("tools/list", {"cursor": "bm90aGluZw"})),
            error_of(await served.modern("tools/list", {"cursor": 1})),
        ]

    assert at(settings, call) == [(400, PARAMS, 7)] * 5


def test_methods_of_other_eras_and_unknown_ones_are_not_found(settings: Settings) -> None:
    methods = ("initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/list", "nothing/here")

    async def call(served: Served) -> list[tuple[int, int, object]]:
        return [error_of(await served.modern(method)) for method in methods]

    assert at(settings, call) == [(404, UNKNOWN, 7)] * len(methods)


@pytest.mark.parametrize(
    "missing", ["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"]
)
def test_a_request_without_what_it_must_say_of_itself_is_malformed(settings: Settings, missing: str) -> None:
    meta = {key: value for key, value in META.items() if key != missing}

    async def call(served: Served) -> list[tuple[int, int, object]]:
        without = await served.modern("server/discover", {"_meta": meta})
        nothing = await served.send(
            {"jsonrpc": "2.0", "id": 7, "method": "server/discover"},
            {"mcp-protocol-version": MODERN, "mcp-method": "server/discover"},
        )
        return [error_of(without), error_of(nothing)]

    assert at(settings, call) == [(400, PARAMS, 7)] * 2


def test_who_the_client_is_need_not_be_said(settings: Settings) -> None:
    meta = {key: value for key, value in META.items() if not key.endswith("clientInfo")}

    async def call(served: Served) -> int:
        return (await served.modern("server/discover", {"_meta": meta})).status_code

    assert at(settings, call) == 200


def test_headers_that_differ_from_the_body_are_refused(settings: Settings) -> None:
    others: list[Override] = [
        {"mcp-protocol-version": "2025-11-25"},
        {"mcp-protocol-version": None},
        {"mcp-method": "tools/list"},
        {"mcp-method": "TOOLS/CALL"},
        {"mcp-method": None},
        {"mcp-name": "get-sum"},
        {"mcp-name": None},
        {"mcp-name": "=?base64?not base64?="},
    ]

    async def call(served: Served) -> list[tuple[int, int, object]]:
        return [error_of(await served.modern("tools/call", ECHO, headers)) for headers in others]

    assert at(settings, call) == [(400, MISMATCH, 7)] * len(others)


def test_a_header_that_is_sent_twice_is_refused(settings: Settings) -> None:
    async def call(served: Served) -> list[tuple[int, int, object]]:
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {**ECHO, "_meta": META}}
        mirrored = [
            ("authorization", f"Bearer {served.token}"),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/call"),
            ("mcp-name", "echo"),
        ]
        twice = ("mcp-name", "mcp-method", "mcp-protocol-version")
        answers = [
            await served.http.post(served.url, json=body, headers=[*mirrored, *(p for p in mirrored if p[0] == name)])
            for name in twice
        ]
        return [error_of(answer) for answer in answers]

    assert at(settings, call) == [(400, MISMATCH, 7)] * 3


@pytest.mark.parametrize("name", ["  echo  ", "\techo", "=?base64?ZWNobw==?="])
def test_blanks_around_a_value_and_its_encoding_do_not_count(settings: Settings, name: str) -> None:
    async def call(served: Served) -> bool:
        return bool(result_of(await served.modern("tools/call", ECHO, {"mcp-name": name}))["isError"])

    assert at(settings, call) is False


def test_an_encoded_value_has_one_spelling() -> None:
    assert decoded("=?base64?SGVsbG8sIOS4lueVjA==?=") == "Hello, 世界"
    assert decoded("=?base64??=") == ""
    assert decoded("=?base64?ZWNobx==?=") is None
    assert decoded("=?base64?/w==?=") is None
    assert decoded("echo") == "echo"
    assert decoded("=?base64?=") == "=?base64?="


def test_a_version_that_is_not_served_is_told_which_are(settings: Settings) -> None:
    newer = {**META, "io.modelcontextprotocol/protocolVersion": "2031-01-01"}

    async def call(served: Served) -> list[httpx.Response]:
        return [
            await served.modern("server/discover", {"_meta": newer}, {"mcp-protocol-version": "2031-01-01"}),
            await served.legacy("tools/list", headers={"mcp-protocol-version": "2031-01-01"}),
        ]

    for answer in at(settings, call):
        assert error_of(answer) == (400, VERSION, 7)
        assert answer.json()["error"]["data"] == {
            "supported": ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"],
            "requested": "2031-01-01",
        }


def test_what_is_no_single_message_is_refused(settings: Settings) -> None:
    request = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": META}}
    modern: Override = {"mcp-protocol-version": MODERN, "mcp-method": "tools/list"}
    bad: list[tuple[Any, int]] = [
        (b"{", PARSE),
        (b"\xff", PARSE),
        (b'{"jsonrpc":"2.0","jsonrpc":"2.0"}', PARSE),
        (b"[" * 200, PARSE),
        ([request], INVALID),
        ([], INVALID),
        ("text", INVALID),
        ({**request, "jsonrpc": "1.0"}, INVALID),
        ({**request, "method": 7}, INVALID),
        ({**request, "params": [1]}, INVALID),
        ({**request, "id": None}, INVALID),
        ({**request, "id": 1.5}, INVALID),
        ({**request, "id": True}, INVALID),
        ({"jsonrpc": "2.0", "id": 7, "result": {}}, INVALID),
    ]
    seen = _errors(settings, *((body, modern) for body, _ in bad))
    assert seen == [(400, code, None) for _, code in bad]


def test_ids_come_back_as_they_were(settings: Settings) -> None:
    ids: list[Any] = ['a "quoted" id', "", 0, -5, (1 << 63) - 1]

    async def call(served: Served) -> list[Any]:
        headers: Override = {"mcp-protocol-version": MODERN, "mcp-method": "server/discover"}
        body = {"jsonrpc": "2.0", "method": "server/discover", "params": {"_meta": META}}
        return [(await served.send({**body, "id": sent}, headers)).json()["id"] for sent in ids]

    assert at(settings, call) == ids


def test_notifications_are_taken_and_do_nothing(settings: Settings) -> None:
    messages: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}},
        {"jsonrpc": "2.0", "method": "tools/call", "params": ECHO},
    ]

    async def send(served: Served) -> tuple[list[tuple[int, bytes]], list[Any]]:
        versions: tuple[Override, ...] = ({"mcp-protocol-version": MODERN}, {"mcp-protocol-version": "2025-06-18"}, {})
        answers = [await served.send(message, headers) for message in messages for headers in versions]
        return [(answer.status_code, answer.content) for answer in answers], await served.rows()

    assert at(settings, send) == ([(202, b"")] * 9, [])


def test_a_notification_of_a_version_that_is_not_served_is_refused(settings: Settings) -> None:
    message = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert _errors(settings, (message, {"mcp-protocol-version": "2031-01-01"})) == [(400, VERSION, None)]


def test_only_requests_and_the_end_of_sessions_are_served(settings: Settings) -> None:
    async def send(served: Served) -> list[tuple[int, str | None]]:
        methods = ("GET", "PUT", "PATCH", "OPTIONS")
        answers = [await served.send(b"", {"accept": "text/event-stream"}, method=method) for method in methods]
        return [(answer.status_code, answer.headers.get("allow")) for answer in answers]

    assert at(settings, send) == [(405, "POST, DELETE"), *[(405, "GET, POST, DELETE")] * 3]


def test_what_an_agent_does_not_have_is_not_found_there(settings: Settings) -> None:
    methods = ("resources/list", "resources/read", "prompts/list", "prompts/get", "completion/complete")

    async def call(served: Served) -> tuple[object, list[tuple[int, int, object]]]:
        found = result_of(await served.modern("server/discover"))["capabilities"]
        return found, [error_of(await served.modern(method, {"uri": "a"}, {"mcp-name": "a"})) for method in methods]

    capabilities, errors = at(settings, call, agent="sequential-thinking")
    assert capabilities == {"tools": {"listChanged": False}, "extensions": {"io.modelcontextprotocol/tasks": {}}}
    assert errors == [(404, UNKNOWN, 7)] * len(methods)


def test_only_json_is_taken_and_given(settings: Settings) -> None:
    async def send(served: Served) -> tuple[list[int], list[int]]:
        refused: list[Override] = [
            {"accept": "text/html"},
            {"accept": "text/event-stream"},
            {"accept": "application/json;q=0, text/plain"},
            {"content-type": "text/plain"},
            {"content-type": None},
        ]
        taken: list[Override] = [
            {"accept": "application/json"},
            {"accept": "*/*"},
            {"accept": "text/html, application/*;q=0.5"},
            {"content-type": "application/json; charset=utf-8"},
        ]
        return (
            [(await served.modern("server/discover", headers=headers)).status_code for headers in refused],
            [(await served.modern("server/discover", headers=headers)).status_code for headers in taken],
        )

    assert at(settings, send) == ([406, 406, 406, 415, 415], [200] * 4)


def test_a_body_that_is_too_large_is_refused(settings: Settings) -> None:
    assert _errors(settings, (b" " * (1 << 20) + b"{}", {})) == [(413, 413, None)]


def test_hosts_and_origins_that_are_not_ours_are_refused_before_anything_else(settings: Settings) -> None:
    here = "127.0.0.1:8080"
    refused: list[Override] = [
        {"host": "evil.example.com"},
        {"host": "localhost.evil.example.com"},
        {"host": ""},
        {"origin": "http://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:3000"},
        {"host": "evil.example.com", "origin": "http://evil.example.com"},
        {"host": here, "origin": f"ftp://{here}"},
    ]
    taken: list[Override] = [
        {"host": "localhost:1"},
        {"host": "[::1]:8080"},
        {"host": "LOCALHOST"},
        {"host": here, "origin": f"http://{here}"},
        {"host": here, "origin": f"https://{here}"},
    ]

    async def send(served: Served) -> tuple[list[int], list[int]]:
        return (
            [
                (await served.modern("server/discover", headers={**h, "authorization": None})).status_code
                for h in refused
            ],
            [(await served.modern("server/discover", headers=h)).status_code for h in taken],
        )

    assert at(settings, send) == ([403] * len(refused), [200] * len(taken))


def test_names_and_origins_are_added_by_settings(settings: Settings) -> None:
    environ = {
        "SUTAZAI_HOME": str(settings.home),
        "SUTAZAI_POSTGRES_URL": settings.postgres_url,
        "SUTAZAI_REDIS_URL": settings.redis_url,
        "SUTAZAI_HOSTS": "mcp.example.org, *.sutazai.svc.cluster.local",
        "SUTAZAI_ORIGINS": "https://app.example.org",
    }
    asked: list[Override] = [
        {"host": "mcp.example.org"},
        {"host": "everything.sutazai.svc.cluster.local:80"},
        {"origin": "https://app.example.org"},
        {"host": "sutazai.svc.cluster.local"},
        {"host": "other.example.org"},
        {"origin": "http://app.example.org"},
    ]

    async def send(served: Served) -> list[int]:
        return [(await served.modern("server/discover", headers=headers)).status_code for headers in asked]

    assert at(Settings.read(environ), send) == [200, 200, 200, 403, 403, 403]


def test_who_may_not_call_is_told_how_to(settings: Settings) -> None:
    async def send(served: Served) -> list[tuple[int, int, str | None]]:
        answers = [
            await served.modern("server/discover", headers={"authorization": credentials})
            for credentials in (None, "Bearer nothing", "Basic YTpi")
        ]
        return [(*error_of(answer)[:2], answer.headers.get("www-authenticate")) for answer in answers]

    none, wrong, other = at(settings, send)
    metadata = f'resource_metadata="{ORIGIN}/.well-known/oauth-protected-resource/mcp/everything"'
    assert none == (401, 401, f'Bearer realm="sutazai", scope="agents:execute", {metadata}')
    assert wrong == (401, 401, f'Bearer realm="sutazai", scope="agents:execute", error="invalid_token", {metadata}')
    assert other == none


def test_whoever_has_the_role_of_an_auditor_only_may_not_call(settings: Settings) -> None:
    async def send(served: Served) -> tuple[tuple[int, int, object], str | None]:
        await served.here.register("auditor")
        await served.here.database.execute("UPDATE users SET roles = '{auditor}' WHERE username = 'auditor'")
        token = (await served.here.login("auditor", call=CURL)).access_token
        answer = await served.modern("tools/call", ECHO, {"authorization": f"Bearer {token}"})
        return error_of(answer), answer.headers.get("www-authenticate")

    error, challenge = at(settings, send)
    assert error == (403, 403, None)
    metadata = f'resource_metadata="{ORIGIN}/.well-known/oauth-protected-resource/mcp/everything"'
    assert challenge == f'Bearer error="insufficient_scope", scope="agents:execute", {metadata}'


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
def test_a_handshake_agrees_on_the_version_asked_for(settings: Settings, version: str) -> None:
    asked = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}

    async def send(served: Served) -> httpx.Response:
        return await served.legacy("initialize", asked, {"mcp-protocol-version": None})

    answer = at(settings, send)
    assert answer.headers["mcp-session-id"].isascii()
    assert result_of(answer) == {
        "protocolVersion": version,
        "capabilities": {
            "tools": {"listChanged": False},
            "resources": {"listChanged": False, "subscribe": True},
            "prompts": {"listChanged": False},
            "completions": {},
            "logging": {},
        },
        "serverInfo": SERVER,
        "instructions": "Utilities that exercise every feature of the platform, and a ledger that counts effects.",
    }


def test_a_handshake_offers_the_newest_where_the_version_is_unknown(settings: Settings) -> None:
    async def send(served: Served) -> tuple[str, tuple[int, int, object]]:
        unknown = result_of(await served.legacy("initialize", {"protocolVersion": "1999-01-01"}))
        return unknown["protocolVersion"], error_of(await served.legacy("initialize", {}))

    assert at(settings, send) == ("2025-11-25", (200, PARAMS, 7))


def test_older_clients_list_call_and_ping_without_a_session(settings: Settings) -> None:
    async def send(served: Served) -> tuple[Any, ...]:
        session: Override = {"mcp-protocol-version": None}
        listed = result_of(await served.legacy("tools/list"))
        return (
            result_of(await served.legacy("ping", headers=session)),
            (list(listed), len(listed["tools"])),
            result_of(await served.legacy("tools/call", ECHO, session)),
            await served.here.database.fetchval("SELECT id::text FROM agent_executions"),
            error_of(await served.legacy("tools/call", {"name": "nothing"})),
            error_of(await served.legacy("server/discover")),
            error_of(await served.send({"jsonrpc": "2.0", "id": 7, "result": {}}, {})),
        )

    ping, listed, called, task_id, unknown, discover, response = at(settings, send)
    assert (ping, listed) == ({}, (["tools"], 17))
    assert called == {
        "content": [{"type": "text", "text": "Echo: hello"}],
        "isError": False,
        "_meta": {"sutazai/task_id": task_id},
    }
    assert (unknown, discover, response) == ((200, PARAMS, 7), (200, UNKNOWN, 7), (400, INVALID, None))
