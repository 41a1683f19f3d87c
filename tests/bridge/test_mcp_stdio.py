"""A client that speaks no HTTP reaches the platform through a process of ours."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from shared.config import Settings
from tests.bridge.scripted import Asked, Script, Scripted, scripted
from tests.mcp.loopback import listening
from tests.mcp.served import META
from tests.people import place

ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60


class Proxy:
    """One process, by its streams."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin and process.stdout and process.stderr
        self.input, self.output, self.log = process.stdin, process.stdout, process.stderr

    def send(self, *messages: object) -> None:
        for message in messages:
            self.input.write((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")

    async def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.output.readline())
        return found

    async def ended(self) -> tuple[int, list[dict[str, Any]], str]:
        """After the end of its input: status, what it had still to say, and its log."""
        self.input.close()
        rest = (await self.output.read()).splitlines()
        return await self.process.wait(), [json.loads(line) for line in rest], (await self.log.read()).decode()


@asynccontextmanager
async def _proxy(url: str, **environ: str) -> AsyncIterator[Proxy]:
    command = (sys.executable, "-m", "functions", "mcp-stdio", "--url", url)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env={**os.environ, **environ}, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 26
    )
    try:
        yield Proxy(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def between(script: Script, scenario: Callable[[Proxy, Scripted], Awaitable[None]], **environ: str) -> None:
    async def play() -> None:
        async with asyncio.timeout(WITHIN_S), scripted(script) as server, _proxy(server.url, **environ) as proxy:
            await scenario(proxy, server)

    asyncio.run(play())


def _modern(id: object, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": META}}


def _legacy(id: object, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_lists_and_calls(settings: Settings, mode: Literal["auto", "legacy"]) -> None:
    async def play() -> tuple[list[str], Any]:
        async with asyncio.timeout(WITHIN_S), place(settings) as here:
            await here.register("ada")
            token = (await here.login("ada")).access_token
            async with listening(settings, "everything", token=token) as url:
                command = ["-m", "functions", "mcp-stdio", "--url", url]
                parameters = StdioServerParameters(command=sys.executable, args=command, cwd=ROOT)
                async with Client(stdio_client(parameters), mode=mode) as client:
                    tools = [tool.name for tool in (await client.list_tools()).tools]
                    return tools, await client.call_tool("echo", {"message": "ü" * 50_000})

    tools, result = asyncio.run(play())
    assert "echo" in tools
    assert [block.text for block in result.content] == ["Echo: " + "ü" * 50_000]


def test_a_session_before_2026_keeps_its_handshake(settings: Settings) -> None:
    async def play() -> str:
        async with asyncio.timeout(WITHIN_S), place(settings) as here:
            await here.register("ada")
            token = (await here.login("ada")).access_token
            async with listening(settings, "everything", token=token) as url:
                command = ["-m", "functions", "mcp-stdio", "--url", url]
                parameters = StdioServerParameters(command=sys.executable, args=command, cwd=ROOT)
                async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
                    began = await session.initialize()
                    await session.list_tools()
                    return str(began.protocol_version)

    assert asyncio.run(play()) == "2025-11-25"


def test_headers_repeat_what_the_message_says_and_carry_the_key() -> None:
    async def script(asked: Asked) -> None:
        asked.result({"ok": True})

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_modern("a", "tools/call", name="ünï", arguments={}))
        assert await proxy.said() == {"jsonrpc": "2.0", "id": "a", "result": {"ok": True}}
        [asked] = server.asked
        names = ("x-api-key", "mcp-protocol-version", "mcp-method", "mcp-name", "accept", "content-type")
        assert [asked.headers[name] for name in names] == [
            "sz_key",
            "2026-07-28",
            "tools/call",
            "=?base64?w7xuw68=?=",
            "application/json, text/event-stream",
            "application/json",
        ]

    between(script, scenario, SUTAZAI_API_KEY="sz_key")


def test_requests_run_beside_one_another_over_connections_that_are_kept() -> None:
    held = asyncio.Event()

    async def script(asked: Asked) -> None:
        if asked.message["id"] == 1:
            await held.wait()
        asked.result({})

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_modern(1, "tools/list"), _modern(2, "tools/list"))
        assert (await proxy.said())["id"] == 2
        for number in range(3, 8):
            proxy.send(_modern(number, "tools/list"))
            assert (await proxy.said())["id"] == number
        held.set()
        assert (await proxy.said())["id"] == 1
        assert server.connections == 2

    between(script, scenario)


def test_notifications_on_a_stream_come_before_the_answer() -> None:
    async def script(asked: Asked) -> None:
        asked.stream()
        asked.piece(b": here I am\n\n")
        asked.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}})
        asked.event({"jsonrpc": "2.0", "id": asked.message["id"], "result": {"text": '"method"'}})
        asked.end()

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_modern(1, "tools/call", name="x"))
        assert [await proxy.said(), await proxy.said()] == [
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}},
            {"jsonrpc": "2.0", "id": 1, "result": {"text": '"method"'}},
        ]

    between(script, scenario)


def test_a_cancelled_request_ends_at_the_server_and_is_not_answered() -> None:
    arrived = asyncio.Event()

    async def script(asked: Asked) -> None:
        if asked.message["id"] == 1:
            arrived.set()
            await asyncio.Event().wait()
        asked.result({})

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_modern(1, "tools/call", name="x"))
        await arrived.wait()
        proxy.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})
        await server.asked[0].left.wait()
        proxy.send(_modern(2, "tools/list"))
        assert (await proxy.said())["id"] == 2
        assert server.methods == ["tools/call", "tools/list"]

    between(script, scenario)


def test_a_session_is_carried_heard_renewed_and_ended() -> None:
    sessions = iter(["first", "second"])
    live: set[str] = set()

    async def script(asked: Asked) -> None:
        session = asked.headers.get("mcp-session-id")
        if asked.method == "DELETE":
            live.discard(session or "")
            asked.answer(204)
        elif asked.method == "GET":
            asked.stream()
            asked.event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
            await asyncio.Event().wait()
        elif asked.message["method"] == "initialize":
            live.add(made := next(sessions))
            asked.result({"protocolVersion": "2025-11-25"}, mcp_session_id=made)
        elif session not in live:
            asked.answer(404)
        elif asked.message["method"].startswith("notifications/"):
            asked.answer(202)
        else:
            asked.result({"session": session, "version": asked.headers["mcp-protocol-version"]})

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_legacy(0, "initialize", protocolVersion="2025-11-25"))
        assert (await proxy.said())["result"] == {"protocolVersion": "2025-11-25"}
        proxy.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (await proxy.said())["method"] == "notifications/tools/list_changed"
        proxy.send(_legacy(1, "tools/list"))
        assert (await proxy.said())["result"] == {"session": "first", "version": "2025-11-25"}
        live.clear()
        proxy.send(_legacy(2, "tools/list"))
        assert (await proxy.said())["result"] == {"session": "second", "version": "2025-11-25"}
        status, rest, _ = await proxy.ended()
        assert (status, rest, live) == (0, [], set())

    between(script, scenario)


def test_what_a_server_asks_is_passed_on_and_so_is_the_answer() -> None:
    answered = asyncio.Event()

    async def script(asked: Asked) -> None:
        if "method" not in asked.message:
            assert asked.message["result"] == {"roots": []}
            answered.set()
            asked.answer(202)
            return
        asked.stream()
        asked.event({"jsonrpc": "2.0", "id": "s1", "method": "roots/list"})
        await answered.wait()
        asked.event({"jsonrpc": "2.0", "id": 1, "result": {}})
        asked.end()

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_legacy(1, "tools/call", name="x"))
        assert (await proxy.said())["method"] == "roots/list"
        proxy.send({"jsonrpc": "2.0", "id": "s1", "result": {"roots": []}})
        assert await proxy.said() == {"jsonrpc": "2.0", "id": 1, "result": {}}

    between(script, scenario)


def test_large_messages_pass_both_ways_as_one_line_each() -> None:
    async def script(asked: Asked) -> None:
        result = {"text": asked.message["params"]["text"] * 8}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}, indent=2, ensure_ascii=False)
        asked.answer(200, body.replace("\n", "\r\n").encode())

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        text = "line\nline\t☃\u2028" * 60_000
        proxy.send(_modern(1, "tools/call", name="x", text=text))
        assert (await proxy.said())["result"]["text"] == text * 8

    between(script, scenario)


def test_what_is_asked_before_the_end_of_the_input_is_answered() -> None:
    held = asyncio.Event()

    async def script(asked: Asked) -> None:
        if asked.message["method"] == "subscriptions/listen":
            asked.stream()
            await asyncio.Event().wait()
        await held.wait()
        asked.result({})

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_modern(1, "subscriptions/listen", notifications={}), _modern(2, "tools/list"))
        await server.has_heard(2)
        proxy.input.close()
        held.set()
        status, rest, _ = await proxy.ended()
        assert (status, [message["id"] for message in rest]) == (0, [2])

    between(script, scenario)


def test_errors_reach_the_client_under_the_id_of_its_request() -> None:
    async def script(asked: Asked) -> None:
        match asked.message["id"]:
            case 1:
                error = {"code": 401, "message": "who are you?"}
                asked.answer(401, json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode())
            case 2:
                asked.answer(502, b"<html>", "text/html")
            case 3:
                asked.stream()
                asked.end()
            case 4:
                asked.answer(307, location="https://elsewhere.example/")
            case _:
                asked.writer.close()

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        errors = []
        for number in range(1, 6):
            proxy.send(_modern(number, "tools/list"))
            said = await proxy.said()
            assert said["id"] == number
            errors.append((said["error"]["code"], said["error"]["message"].replace(server.url, "URL")))
        assert errors == [
            (401, "who are you?"),
            (-32603, "URL answered 502 to 'tools/list'"),
            (-32603, "URL ended the stream without an answer"),
            (-32603, "URL redirects to 'https://elsewhere.example/': give that URL"),
            (-32603, "URL ended without an answer"),
        ]

    between(script, scenario)


def test_lines_that_are_no_messages_are_refused_and_the_next_is_taken() -> None:
    async def script(asked: Asked) -> None:
        asked.result({})

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(b"{", b"[]", b"", b"  ", _modern(1, "tools/list"))
        said = [await proxy.said() for _ in range(3)]
        assert [(one["id"], one.get("error", {}).get("code")) for one in said] == [
            (None, -32700),
            (None, -32600),
            (1, None),
        ]

    between(script, scenario)


def test_a_server_that_is_away_is_an_error_and_not_the_end() -> None:
    async def play() -> None:
        async with asyncio.timeout(WITHIN_S), _proxy("http://127.0.0.1:9/mcp") as proxy:
            for number in (1, 2):
                proxy.send(_modern(number, "tools/list"))
                said = await proxy.said()
                assert said["id"] == number and "cannot be reached" in said["error"]["message"]
            status, rest, log = await proxy.ended()
            assert (status, rest) == (0, []) and "SUTAZAI_API_KEY is not set" in log

    asyncio.run(play())


def test_it_ends_at_once_when_it_is_told_to() -> None:
    async def script(asked: Asked) -> None:
        await asyncio.Event().wait()

    async def scenario(proxy: Proxy, server: Scripted) -> None:
        proxy.send(_modern(1, "tools/list"))
        await server.has_heard(1)
        proxy.process.terminate()
        assert await proxy.process.wait() == -signal.SIGTERM

    between(script, scenario)


@pytest.mark.parametrize("url", ["ftp://x/", "http:///mcp", "http://user@x/mcp", "nothing"])
def test_a_url_that_no_server_has_is_refused(url: str) -> None:
    async def play() -> tuple[int, str]:
        async with asyncio.timeout(WITHIN_S), _proxy(url) as proxy:
            status, _, log = await proxy.ended()
            return status, log

    status, log = asyncio.run(play())
    assert status == 78 and f"{url!r} is no URL of an MCP server" in log


def test_a_file_of_the_key_that_cannot_be_read_is_refused() -> None:
    async def play() -> tuple[int, str]:
        environ = {"SUTAZAI_API_KEY_FILE": "/nowhere/key"}
        async with asyncio.timeout(WITHIN_S), _proxy("http://127.0.0.1:9/mcp", **environ) as proxy:
            status, _, log = await proxy.ended()
            return status, log

    status, log = asyncio.run(play())
    assert status == 78 and log.count("\n") == 1 and "SUTAZAI_API_KEY_FILE is '/nowhere/key'" in log
