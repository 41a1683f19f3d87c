"""One task's changes as server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

import functions.tasks._following
from shared.config import Settings
from tests.realtime.served import House, at_home, served

Event = dict[str, Any]


async def _events(answer: httpx.Response) -> AsyncIterator[Event]:
    """Blocks as they come; a comment is one too."""
    block: Event = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            block[name] = json.loads(value) if name == "data" else value.strip()
        elif block:
            yield block
            block = {}


def _path(task_id: UUID) -> str:
    return f"/api/v1/tasks/{task_id}/events"


def test_a_task_that_is_over_is_told_whole_and_the_stream_ends(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        [task_id] = await house.run(ada)
        async with house.client(ada) as client, client.stream("GET", _path(task_id)) as answer:
            assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
            assert answer.headers["cache-control"] == "no-store" and answer.headers["x-request-id"]
            retry, *events = [event async for event in _events(answer)]
        assert retry == {"retry": "1000"}
        assert [(event["id"], event["event"], event["data"]["status"]) for event in events] == [
            ("1", "task_progress", "queued"),
            ("2", "task_progress", "running"),
            ("3", "task_progress", "succeeded"),
        ]
        last = events[-1]["data"]
        assert last == {
            "task_id": str(task_id),
            "progress": 100.0,
            "status": "succeeded",
            "message": "",
            "sequence": 3,
            "timestamp": last["timestamp"],
        }

    at_home(settings, scenario)


def test_what_happens_is_told_as_it_happens(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        [task_id, _] = await house.submit(ada, 2)
        async with house.client(ada) as client, client.stream("GET", _path(task_id)) as answer:
            events = _events(answer)
            assert await anext(events) == {"retry": "1000"}
            assert (await anext(events))["data"]["status"] == "queued"
            claimed = {task.id: task for task in await house.claim(2)}
            assert (await anext(events))["data"]["status"] == "running"
            await house.queue.progress(claimed[task_id], 40.0, "half of it")
            hint = await anext(events)
            assert "id" not in hint
            assert (hint["data"]["progress"], hint["data"]["message"], hint["data"]["sequence"]) == (
                40.0,
                "half of it",
                None,
            )
            await house.finish(*claimed.values())
            assert [(event["id"], event["data"]["status"]) async for event in events] == [("3", "succeeded")]

    at_home(settings, scenario)


def test_whoever_comes_back_gets_what_came_after(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        [task_id] = await house.run(ada)
        async with house.client(ada) as client:
            answer = await client.get(_path(task_id), headers={"Last-Event-ID": "2"})
            assert [line for line in answer.text.splitlines() if line.startswith("id")] == ["id: 3"]
            # An EventSource comes back for ever, unless it is told that there is nothing more.
            nothing = await client.get(_path(task_id), headers={"Last-Event-ID": "3"})
            assert (nothing.status_code, nothing.content) == (204, b"")
            head = await client.head(_path(task_id))
            assert (head.status_code, head.content) == (200, b"")

    at_home(settings, scenario)


@pytest.mark.parametrize("last", ["x", "", "-1", "1.5", "9" * 10, "٣"])
def test_a_last_event_id_that_is_none_of_ours_is_refused(settings: Settings, last: str) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        [task_id] = await house.run(ada)
        async with house.client(ada) as client:
            answer = await client.get(_path(task_id), headers=[(b"Last-Event-ID", last.encode())])
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")

    at_home(settings, scenario)


def test_anothers_task_is_not_found(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada, bob = await house.person("ada"), await house.person("bob")
        [task_id] = await house.run(ada)
        async with house.client(bob) as client:
            for asked in (task_id, uuid4()):
                answer = await client.get(_path(asked))
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")

    at_home(settings, scenario)


def test_a_stream_shows_signs_of_life_and_ends_with_its_session(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions.tasks._following, "HEARTBEAT_S", 0.2)

    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        [task_id] = await house.submit(ada)
        async with house.client(ada) as client, client.stream("GET", _path(task_id)) as answer:
            events = _events(answer)
            assert await anext(events) == {"retry": "1000"}
            assert (await anext(events))["data"]["status"] == "queued"
            assert await anext(events) == {"": "still here"}
            await house.sessions.end(ada.user_id, ada.session_id, action="auth.logout")
            began = time.monotonic()
            assert {tuple(event) async for event in events} <= {("",)}
            assert time.monotonic() - began < 1.5

    at_home(settings, scenario)


def test_a_stream_does_not_hold_up_the_end_of_its_server(settings: Settings) -> None:
    async def play() -> None:
        async with asyncio.timeout(60), AsyncExitStack() as left_open:
            async with served(settings) as house:
                ada = await house.person("ada")
                [task_id] = await house.submit(ada)
                client = await left_open.enter_async_context(house.client(ada))
                answer = await left_open.enter_async_context(client.stream("GET", _path(task_id)))
                events = _events(answer)
                assert [await anext(events), (await anext(events))["id"]] == [{"retry": "1000"}, "1"]
                began = time.monotonic()
            assert time.monotonic() - began < 4
            assert [event async for event in events] == []

    asyncio.run(play())


def test_a_client_that_left_is_forgotten(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        ada = await house.person("ada")
        [task_id] = await house.submit(ada)
        for _ in range(3):
            async with house.client(ada) as client, client.stream("GET", _path(task_id)) as answer:
                assert await anext(_events(answer)) == {"retry": "1000"}
        # Whoever watches keeps a task of the loop, so what is left behind can be counted.
        async with asyncio.timeout(5):
            while any("send_pieces" in repr(task) or "_send_each" in repr(task) for task in asyncio.all_tasks()):
                await asyncio.sleep(0.01)

    at_home(settings, scenario)
