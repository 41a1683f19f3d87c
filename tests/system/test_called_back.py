"""Callbacks on the whole platform, to a receiver that knows nothing but the published keys."""

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.receiver import Receiver, receiving
from tests.system.platform import Client, Platform


@contextmanager
def outside() -> Iterator[Receiver]:
    """A stranger's server, in a thread of its own."""
    loop, opening = asyncio.new_event_loop(), receiving()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(opening.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(opening.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with outside() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def platform(receiver: Receiver) -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-callbacks-") as folder:
        Path(folder).chmod(0o755)
        with Platform(Path(folder) / "home", SUTAZAI_EGRESS_ALLOW=f"127.0.0.1:{receiver.port}") as platform:
            yield platform


def test_who_asks_for_tasks_with_a_callback_is_called_once_for_each(platform: Platform, receiver: Receiver) -> None:
    async def scenario(client: Client) -> None:
        said = {"agent_id": "everything", "task": "echo", "parameters": {"message": "hello"}}
        failing = {"agent_id": "everything", "task": "ledger", "parameters": {"failure": "tool_error"}}
        slow = {"agent_id": "everything", "task": "ledger", "parameters": {"duration_ms": 60_000}, "timeout": 90_000}
        asked = [{**one, "callback_url": receiver.url(path)} for one, path in ((said, "/said"), (failing, "/failing"))]
        answer = await client.http.post("/api/v1/agents/execute", json={"tasks": [*asked, said]})
        ids = [task["task_id"] for task in answer.json()["data"]["tasks"]]
        stopped = await client.http.post("/api/v1/agents/execute", json={**slow, "callback_url": receiver.url("/slow")})
        ids.append(stopped.json()["data"]["task_id"])
        assert (await client.http.post(f"/api/v1/tasks/{ids[-1]}/cancel")).status_code == 200
        while len(receiver.received) < 3:
            await asyncio.sleep(0.05)
        keys = (await client.http.get("/.well-known/jwks.json")).json()["keys"]
        for received in receiver.received:
            received.verify(keys)
        found = {received.path: received.event for received in receiver.received}
        ends = {path: (event["type"], event["subject"]) for path, event in found.items()}
        assert ends == {
            "/said": ("task.succeeded.v1", ids[0]),
            "/failing": ("task.failed.v1", ids[1]),
            "/slow": ("task.cancelled.v1", ids[3]),
        }
        for event in found.values():
            assert event["data"] == await client.task(event["subject"])
        # The last one asked for none; once nothing is left to be delivered, nobody can be called twice.
        await client.ended(ids[2])
        connection = await asyncpg.connect(platform.postgres_url)
        try:
            while await connection.fetchval("SELECT count(*) FROM sutazai.callbacks"):
                await asyncio.sleep(0.05)
        finally:
            await connection.close()
        assert len(receiver.received) == 3

    async def bounded() -> None:
        async with asyncio.timeout(60), Client(platform.api) as client:
            await scenario(client)

    asyncio.run(bounded())


@pytest.mark.parametrize("url", ["ftp://example.org/", "http://user@example.org/", "http://example.org/#x", "x", 7])
def test_a_callback_that_is_no_plain_url_is_refused_before_anything_is_queued(platform: Platform, url: object) -> None:
    async def asked() -> tuple[httpx.Response, int]:
        async with Client(platform.api, "bob") as client:
            body = {"agent_id": "everything", "task": "echo", "parameters": {"message": "x"}, "callback_url": url}
            answer = await client.http.post("/api/v1/agents/execute", json=body)
            listed = await client.http.get("/api/v1/tasks")
            return answer, len(listed.json()["data"]["tasks"])

    answer, tasks = asyncio.run(asked())
    assert (answer.status_code, answer.json()["error"]["code"], tasks) == (400, "VALIDATION_ERROR", 0)
