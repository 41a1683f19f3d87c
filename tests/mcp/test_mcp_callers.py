"""A call lives as long as its caller waits."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.asgi import Disconnected, Request
from shared.config import Settings
from shared.connected import WhileConnected
from tests.mcp.served import META, MODERN, Served, at

LONG: list[tuple[str, dict[str, Any]]] = [
    ("trigger-long-running-operation", {"duration": 60, "steps": 1}),
    ("ledger", {"duration_ms": 60_000}),
]


async def _abandoned(served: Served, name: str, arguments: dict[str, Any]) -> list[str]:
    """What is sent to a caller who leaves as soon as the tool runs."""
    message = {"method": "tools/call", "params": {"name": name, "arguments": arguments, "_meta": META}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, **message}).encode()
    mirrored = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": name}
    common = {"host": "127.0.0.1", "content-type": "application/json", "accept": "application/json"}
    headers = {**common, **mirrored, "authorization": f"Bearer {served.token}"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/mcp/{served.agent}",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": body}, {"type": "http.disconnect"}])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async with asyncio.timeout(20):
        await served.app(scope, receive, send)
    return sent


@pytest.mark.parametrize("name, arguments", LONG)
def test_a_call_whose_caller_leaves_ends_and_says_so_in_the_record(
    settings: Settings, name: str, arguments: dict[str, Any]
) -> None:
    async def leave(served: Served) -> tuple[list[str], list[tuple[str, str, str]]]:
        return await _abandoned(served, name, arguments), await served.rows()

    assert at(settings, leave) == ([], [(name, "failed", "CALLER_LOST")])


def _request(gone: asyncio.Event) -> Request:
    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
    return Request(scope, receive)


def test_work_ends_with_its_caller_and_the_task_goes_on() -> None:
    async def main() -> int:
        gone = asyncio.Event()
        gone.set()
        with pytest.raises(Disconnected), WhileConnected(_request(gone)):
            await asyncio.sleep(60)
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(0)
        return task.cancelling()

    assert asyncio.run(main()) == 0


def test_work_whose_caller_stays_is_left_alone() -> None:
    async def main() -> str:
        with WhileConnected(_request(asyncio.Event())):
            await asyncio.sleep(0.1)
        await asyncio.sleep(0)
        return "went on"

    assert asyncio.run(main()) == "went on"


def test_other_cancels_and_errors_pass_through() -> None:
    async def main() -> bool:
        with pytest.raises(KeyError), WhileConnected(_request(asyncio.Event())):
            raise KeyError("mine")
        began = asyncio.Event()

        async def work() -> None:
            with WhileConnected(_request(asyncio.Event())):
                began.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await began.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())
