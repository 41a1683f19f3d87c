"""subscriptions/listen: what clients are told without asking again, and for how long."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from uuid import UUID, uuid4

import httpx
import pytest

from shared.asgi import Request
from shared.config import Settings
from shared.function import Caller
from shared.mcp import listen
from shared.mcp.listen import Listening
from shared.mcp.server import Exchange
from shared.mcp.tasks import McpTasks
from shared.mcp.wire import Message
from shared.ports.live import TaskChange, TaskFeed, TaskHeard
from shared.ports.tasks import Status
from tests.mcp.loopback import listening
from tests.mcp.served import META, MODERN, error_of
from tests.mcp.working import fixtures, keeping, working
from tests.people import CURL, Place, place

__all__ = ["fixtures"]

T = TypeVar("T")

EXTENSION = "io.modelcontextprotocol/tasks"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
TASKS: dict[str, Any] = {"extensions": {EXTENSION: {}}, "elicitation": {}}

pytestmark = pytest.mark.usefixtures("fixtures")


@dataclass(frozen=True)
class Client:
    url: str
    token: str
    http: httpx.AsyncClient

    def _sent(self, method: str, params: dict[str, Any], can: dict[str, Any], id: object) -> dict[str, Any]:
        headers = {
            "authorization": f"Bearer {self.token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": MODERN,
            "mcp-method": method,
        }
        if (name := params.get("taskId", params.get("name"))) is not None:
            headers["mcp-name"] = name
        meta = {**META, "io.modelcontextprotocol/clientCapabilities": can}
        message = {"jsonrpc": "2.0", "id": id, "method": method, "params": {**params, "_meta": meta}}
        return {"json": message, "headers": headers}

    async def send(self, method: str, *, can: dict[str, Any] = TASKS, **params: Any) -> httpx.Response:
        return await self.http.post(self.url, **self._sent(method, params, can, 7))

    async def created(self, name: str, **arguments: Any) -> str:
        answer = await self.send("tools/call", name=name, arguments=arguments)
        return str(answer.json()["result"]["taskId"])

    @asynccontextmanager
    async def listen(self, *, id: object = 7, **notifications: Any) -> AsyncIterator[AsyncGenerator[Any, None]]:
        """The messages of a stream, as they come."""
        sent = self._sent("subscriptions/listen", {"notifications": notifications}, TASKS, id)
        async with self.http.stream("POST", self.url, **sent) as response:
            assert response.headers["content-type"] == "text/event-stream", await response.aread()
            yield _messages(response)


async def _messages(response: httpx.Response) -> AsyncGenerator[Any, None]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            yield json.loads(line.removeprefix("data:"))


def at(settings: Settings, scenario: Callable[[Client, Place], Awaitable[T]]) -> T:
    async def play() -> T:
        async with (
            asyncio.timeout(90),
            place(settings) as here,
            listening(settings, "everything") as url,
            keeping(settings),
            working(settings),
            httpx.AsyncClient(timeout=30) as http,
        ):
            await here.register("ada")
            token = (await here.login("ada", call=CURL)).access_token
            return await scenario(Client(url, token, http), here)

    return asyncio.run(play())


def test_a_stream_begins_with_what_was_agreed_and_tells_each_task_to_its_end(settings: Settings) -> None:
    async def scenario(client: Client, here: Place) -> tuple[str, list[Any]]:
        task_id = await client.created("slow_compute", seconds=0.3, label="a")
        heard: list[Any] = []
        async with client.listen(id="mine", taskIds=[task_id, str(uuid4()), "nothing"]) as messages:
            async for message in messages:
                heard.append(message)
                if message["params"].get("status") == "completed":
                    return task_id, heard
        raise AssertionError(heard)

    task_id, (first, *others) = at(settings, scenario)
    assert first == {
        "jsonrpc": "2.0",
        "method": "notifications/subscriptions/acknowledged",
        "params": {"notifications": {"taskIds": [task_id]}, "_meta": {SUBSCRIPTION: "mine"}},
    }
    assert {other["method"] for other in others} == {"notifications/tasks"}
    assert {other["params"]["taskId"] for other in others} == {task_id}
    assert {json.dumps(other["params"]["_meta"]) for other in others} == {json.dumps({SUBSCRIPTION: "mine"})}
    *before, last = [other["params"] for other in others]
    assert {params["status"] for params in before} <= {"working"}
    assert last["result"] == {"content": [{"type": "text", "text": "a took 0.3 s"}], "isError": False}
    assert {"createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"} <= last.keys()


def test_what_had_happened_before_is_told_at_once_and_questions_with_it(settings: Settings) -> None:
    async def scenario(client: Client, here: Place) -> list[Any]:
        task_id = await client.created("confirm_delete", filename="a.txt")
        statuses: list[Any] = []
        async with client.listen(taskIds=[task_id]) as messages:
            await anext(messages)
            async for message in messages:
                params = message["params"]
                statuses.append((params["status"], [*params.get("inputRequests", ())]))
                if params["status"] == "input_required":
                    break
        async with client.listen(taskIds=[task_id]) as messages:
            await anext(messages)
            statuses.append((await anext(messages))["params"]["status"])
            answers = {"confirm": {"action": "decline"}}
            await client.send("tasks/update", taskId=task_id, inputResponses=answers)
            async for message in messages:
                if message["params"]["status"] == "completed":
                    return [*statuses, message["params"]["result"]["content"][0]["text"]]
        raise AssertionError(statuses)

    heard = at(settings, scenario)
    assert heard[-3:] == [("input_required", ["confirm"]), "input_required", "'a.txt' would be kept"]


def test_nothing_is_told_of_tasks_that_were_not_named_or_are_somebody_elses(settings: Settings) -> None:
    async def scenario(client: Client, here: Place) -> tuple[list[Any], str]:
        await here.register("bob")
        bob = Client(client.url, (await here.login("bob", call=CURL)).access_token, client.http)
        his = await bob.created("confirm_delete", filename="his.txt")
        heard: list[Any] = []
        mine = await client.created("confirm_delete", filename="a.txt")
        async with client.listen(taskIds=[his, mine]) as messages:
            other = await client.created("slow_compute", seconds=0, label="not named")
            await bob.send("tasks/cancel", taskId=his)
            while (await client.send("tasks/get", taskId=other)).json()["result"]["status"] != "completed":
                await asyncio.sleep(0.05)
            await client.send("tasks/cancel", taskId=mine)
            async for message in messages:
                heard.append(message["params"].get("taskId", message["params"].get("notifications")))
                if message["params"].get("status") == "cancelled":
                    return heard, mine
        raise AssertionError(heard)

    heard, mine = at(settings, scenario)
    assert heard[0] == {"taskIds": [mine]}
    assert set(heard[1:]) == {mine}


def test_what_never_changes_here_is_agreed_to_by_nobody(settings: Settings) -> None:
    async def scenario(client: Client, here: Place) -> Any:
        asked = {"toolsListChanged": True, "promptsListChanged": True, "resourceSubscriptions": ["demo://a"]}
        async with client.listen(**asked) as messages:
            return await anext(messages)

    assert at(settings, scenario)["params"] == {"notifications": {}, "_meta": {SUBSCRIPTION: 7}}


def test_what_cannot_be_listened_to_is_an_error_and_no_stream(settings: Settings) -> None:
    bad: list[Any] = [None, [], {"taskIds": "a"}, {"taskIds": [1]}, {"taskIds": [str(uuid4()) for _ in range(101)]}]

    async def scenario(client: Client, here: Place) -> list[Any]:
        listen = "subscriptions/listen"
        refused = [await client.send(listen, notifications=given) for given in bad]
        refused.append(await client.send(listen, can={}, notifications={"taskIds": []}))
        return [error_of(answer) for answer in refused]

    assert at(settings, scenario) == [(400, -32602, 7)] * 5 + [(400, -32021, 7)]


def test_a_stream_ends_with_its_token_and_says_so(settings: Settings) -> None:
    async def scenario(client: Client, here: Place) -> Any:
        task_id = await client.created("confirm_delete", filename="a.txt")
        async with client.listen(taskIds=[task_id]) as messages:
            await anext(messages)
            await here.database.execute("UPDATE sessions SET revoked_at = now()")
            return [message async for message in messages][-1]

    meta = {SUBSCRIPTION: 7}
    assert at(settings, scenario) == {"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete", "_meta": meta}}


# --- a reader that is slow, or alone ---

ADA = Caller(user_id=UUID(int=1), session_id=UUID(int=2), roles=frozenset(), scopes=frozenset({"tasks:read"}))


class _Feed:
    heard: TaskHeard

    @asynccontextmanager
    async def watching(self, user_id: UUID, heard: TaskHeard) -> AsyncIterator[int]:
        self.heard = heard
        yield 0

    def say(self, task_id: UUID, status: Status, *, seq: int | None = 1) -> None:
        at = datetime.now(UTC)
        self.heard(
            TaskChange(
                user_id=ADA.user_id,
                task_id=task_id,
                status=status,
                progress=0,
                message="",
                seq=seq,
                sequence=seq,
                at=at,
            )
        )


class _Watch:
    @asynccontextmanager
    async def watching(self, caller: Caller, changed: Callable[[str], None]) -> AsyncIterator[None]:
        yield


class _Tasks:
    told = 0

    def __init__(self) -> None:
        self.feed = _Feed()

    async def opened(self, port: type) -> object:
        return self.feed if port is TaskFeed else _Watch()

    async def detailed(self, caller: Caller, task_id: str, message: Message) -> bytes:
        self.told += 1
        return b'"taskId":"%b","told":%d' % (task_id.encode(), self.told)


async def _opened(*ids: UUID) -> tuple[AsyncGenerator[bytes, None], _Feed]:
    params: dict[str, Any] = {"notifications": {"taskIds": [str(one) for one in ids]}}
    meta = {"io.modelcontextprotocol/clientCapabilities": TASKS}
    exchange = Exchange(
        message=Message("subscriptions/listen", params, meta, b"1"), request=cast(Request, None), caller=ADA
    )
    tasks = _Tasks()
    stream = await Listening.open(b"1", exchange, cast(McpTasks, tasks))
    return stream.pieces(), tasks.feed


def test_whoever_reads_slowly_is_told_of_each_task_once_as_it_is_by_then() -> None:
    async def main() -> list[str]:
        one, two = uuid4(), uuid4()
        pieces, feed = await _opened(one, two)
        seen = [(await anext(pieces)).decode() for _ in range(3)]
        for _ in range(10_000):
            feed.say(one, "running")
        feed.say(two, "running", seq=None)
        feed.say(uuid4(), "running")
        seen.append((await anext(pieces)).decode())
        feed.say(two, "succeeded")
        seen.append((await anext(pieces)).decode())
        await pieces.aclose()
        names = {str(one): "one", str(two): "two"}
        return [names[json.loads(text.removeprefix("data: "))["params"]["taskId"]] for text in seen[1:]]

    assert asyncio.run(main()) == ["one", "two", "one", "two"]


def test_a_silent_stream_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "HEARTBEAT_S", 0.01)

    async def main() -> bytes:
        pieces, _ = await _opened()
        await anext(pieces)
        while (piece := await anext(pieces)) == b"":
            continue
        await pieces.aclose()
        return piece

    assert asyncio.run(main()) == b": still here\n\n"
