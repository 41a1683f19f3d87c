"""The gateway hands MCP on to workers: whole, once, and to one that lives."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from shared.config import Settings
from shared.local.forward import McpForward
from shared.serve import App

T = TypeVar("T")

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nretry-after: 9\r\n\r\n{}"
CHUNKS = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass
class FakeWorker:
    """Answers every request with `says`; None closes without an answer, empty never answers."""

    says: bytes | None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                first, *lines = head.split("\r\n")[:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                self.requests.append((first, headers, body))
                self.asked.set()
                if self.says is None:
                    break
                writer.write(self.says)
        except asyncio.IncompleteReadError:
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def _listening(worker: FakeWorker) -> AsyncIterator[str]:
    server = await asyncio.start_server(worker.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()


def at(
    home: Path, workers: list[FakeWorker], scenario: Callable[[httpx.AsyncClient], Awaitable[T]], *, gone: int = 0
) -> T:
    """Plays a scenario at a gateway with these workers; `gone`: so many before them left their files behind."""

    async def play() -> T:
        settings = Settings.read({"SUTAZAI_HOME": str(home)})
        forward = McpForward({"everything"})
        (home / "run").mkdir()
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            addresses = [await stack.enter_async_context(_listening(worker)) for worker in workers]
            for number, address in enumerate(["127.0.0.1:1"] * gone + addresses):
                (home / "run" / f"worker-{number}.ready").write_text(address)
            app = App([], settings=settings, beside=[forward], routes=forward.routes)
            await stack.enter_async_context(app.running())
            transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 9))
            http = httpx.AsyncClient(transport=transport, base_url="http://localhost")
            return await scenario(await stack.enter_async_context(http))

    return asyncio.run(play())


async def _post(http: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> httpx.Response:
    return await http.post("/mcp/everything", content=b'{"a":1}', headers=headers)


def test_a_request_arrives_as_it_was_sent_and_so_does_its_answer(tmp_path: Path) -> None:
    worker = FakeWorker(OK)
    sent = {
        "x-request-id": "mine",
        "mcp-name": "echo",
        "connection": "close, x-private",
        "x-private": "1",
        "te": "trailers",
    }
    answer = at(tmp_path, [worker], lambda http: _post(http, sent))
    [(first, headers, body)] = worker.requests
    assert (first, body) == ("POST /mcp/everything HTTP/1.1", b'{"a":1}')
    assert {name: headers.get(name) for name in ("host", "mcp-name", "x-request-id", "x-forwarded-for")} == {
        "host": "localhost",
        "mcp-name": "echo",
        "x-request-id": "mine",
        "x-forwarded-for": "127.0.0.1",
    }
    assert headers.keys().isdisjoint({"connection", "x-private", "te"})
    assert (answer.status_code, answer.content, answer.headers["retry-after"]) == (200, b"{}", "9")
    assert answer.headers["x-request-id"] == "mine"


def test_connections_are_kept_and_workers_take_turns(tmp_path: Path) -> None:
    workers = [FakeWorker(OK), FakeWorker(OK)]

    async def send(http: httpx.AsyncClient) -> None:
        for _ in range(6):
            assert (await _post(http)).status_code == 200

    at(tmp_path, workers, send)
    assert [(len(worker.requests), worker.connections) for worker in workers] == [(3, 1), (3, 1)]


def test_a_worker_that_is_gone_costs_no_more_than_asking_the_next(tmp_path: Path) -> None:
    worker = FakeWorker(OK)

    async def send(http: httpx.AsyncClient) -> list[int]:
        return [(await _post(http)).status_code for _ in range(4)]

    assert at(tmp_path, [worker], send, gone=1) == [200] * 4
    assert len(worker.requests) == 4


def test_what_was_sent_to_a_worker_that_died_goes_to_no_other(tmp_path: Path) -> None:
    dying, living = FakeWorker(None), FakeWorker(OK)

    async def send(http: httpx.AsyncClient) -> list[httpx.Response]:
        return [await _post(http) for _ in range(2)]

    answers = sorted(at(tmp_path, [dying, living], send), key=lambda answer: answer.status_code)
    assert [answer.status_code for answer in answers] == [200, 502]
    assert answers[1].json() == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {"code": -32603, "message": "the worker that had this call ended"},
    }
    assert (len(dying.requests), len(living.requests)) == (1, 1)


def test_without_a_worker_callers_are_told_to_come_again(tmp_path: Path) -> None:
    answer = at(tmp_path, [], _post, gone=1)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["data"] == {"code": "SERVICE_UNAVAILABLE"}


def test_an_answer_in_pieces_passes_through_whole(tmp_path: Path) -> None:
    large = b"x" * 100_000
    chunks = [large, b"yz"]
    said = CHUNKS + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    answer = at(tmp_path, [FakeWorker(said)], _post)
    assert (answer.status_code, answer.content) == (200, large + b"yz")


def test_a_large_answer_passes_through_whole(tmp_path: Path) -> None:
    large = b"x" * 3_000_000
    said = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n%b" % (len(large), large)
    answer = at(tmp_path, [FakeWorker(said)], _post)
    assert (answer.status_code, len(answer.content)) == (200, len(large))


def test_other_agents_hosts_and_bodies_do_not_reach_a_worker(tmp_path: Path) -> None:
    worker = FakeWorker(OK)

    async def send(http: httpx.AsyncClient) -> list[tuple[int, Any]]:
        answers = [
            await http.post("/mcp/nobody"),
            await _post(http, {"host": "evil.example.com"}),
            await _post(http, {"origin": "http://evil.example.com"}),
            await http.post("/mcp/everything", content=b" " * (1 << 20) + b"{}"),
        ]
        return [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]

    assert at(tmp_path, [worker], send) == [(404, 404), (403, 403), (403, 403), (413, 413)]
    assert worker.requests == []


def test_a_worker_hears_that_the_caller_has_left(tmp_path: Path) -> None:
    worker = FakeWorker(b"")

    async def leave(http: httpx.AsyncClient) -> bool:
        app: Any = http._transport.app  # type: ignore[attr-defined]
        messages = iter([{"type": "http.request", "body": json.dumps({}).encode()}])

        async def receive() -> dict[str, Any]:
            if (message := next(messages, None)) is not None:
                return message
            await worker.asked.wait()
            return {"type": "http.disconnect"}

        async def send(_: Any) -> None:
            raise AssertionError("nobody is there to take an answer")

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/mcp/everything", "query_string": b"", "headers": headers}
        await app(scope, receive, send)
        await worker.left.wait()
        return worker.left.is_set()

    assert at(tmp_path, [worker], leave)
