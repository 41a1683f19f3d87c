"""Streams of sessions: broken off, they are taken up again wherever the client asks, and end where it does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx
import pytest

from shared.config import Settings
from shared.mcp import resuming
from shared.mcp.resuming import Journal, place_of, tag_of
from tests.mcp.loopback import listening
from tests.mcp.working import fixtures
from tests.people import CURL, Place, place

__all__ = ["fixtures"]

T = TypeVar("T")

SLOW: dict[str, Any] = {"duration": 2, "steps": 4}


@dataclass(frozen=True)
class Event:
    id: str
    data: Any
    retry: str = ""


@dataclass(frozen=True)
class Session:
    """One client's, at two replicas."""

    urls: tuple[str, str]
    token: str
    handle: str
    version: str
    http: httpx.AsyncClient

    def _headers(self, **more: str) -> dict[str, str]:
        common = {"authorization": f"Bearer {self.token}", "accept": "application/json, text/event-stream"}
        return {**common, "mcp-protocol-version": self.version, "mcp-session-id": self.handle, **more}

    @asynccontextmanager
    async def called(
        self,
        tool: str = "trigger-long-running-operation",
        arguments: dict[str, Any] = SLOW,
        *,
        asked: object = "a 1",
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Of a tool that says how it goes, at the first replica."""
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}}
        message = {"jsonrpc": "2.0", "id": asked, "method": "tools/call", "params": params}
        async with self.http.stream("POST", self.urls[0], json=message, headers=self._headers()) as response:
            assert response.headers["content-type"] == "text/event-stream", await response.aread()
            yield _events(response)

    @asynccontextmanager
    async def resumed(self, last: str) -> AsyncIterator[AsyncIterator[Event]]:
        """At the other."""
        headers = self._headers(**{"last-event-id": last})
        async with self.http.stream("GET", self.urls[1], headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            yield _events(response)

    async def get(self, **headers: str) -> int:
        return (await self.http.get(self.urls[1], headers=self._headers(**headers))).status_code


async def _events(response: httpx.Response) -> AsyncIterator[Event]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif fields:
            data = fields.get("data", "")
            yield Event(fields.get("id", ""), json.loads(data) if data else None, fields.get("retry", ""))
            fields = {}


async def _begun(urls: tuple[str, str], token: str, version: str, http: httpx.AsyncClient) -> Session:
    hello = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "tests", "version": "1"}}
    message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    headers = {"authorization": f"Bearer {token}", "accept": "application/json, text/event-stream"}
    answer = await http.post(urls[0], json=message, headers=headers)
    return Session(urls, token, answer.headers["mcp-session-id"], version, http)


def at(settings: Settings, scenario: Callable[[Session, Place], Awaitable[T]], *, version: str = "2025-11-25") -> T:
    async def play() -> T:
        async with (
            asyncio.timeout(90),
            place(settings) as here,
            listening(settings, "everything") as one,
            listening(settings, "everything") as two,
            httpx.AsyncClient(timeout=30) as http,
        ):
            await here.register("ada")
            token = (await here.login("ada", call=CURL)).access_token
            return await scenario(await _begun((one, two), token, version, http), here)

    return asyncio.run(play())


async def _ended(here: Place) -> tuple[str, str]:
    """Status and error of the only execution, once there is one."""
    query = "SELECT status, coalesce(error->>'code', '') AS code FROM agent_executions WHERE finished_at IS NOT NULL"
    while (row := await here.database.fetchrow(query)) is None:
        await asyncio.sleep(0.05)
    return row["status"], row["code"]


def test_what_breaks_off_is_taken_up_at_another_replica_with_nothing_lost_or_doubled(settings: Settings) -> None:
    async def scenario(session: Session, here: Place) -> tuple[list[Event], list[Event], tuple[str, str]]:
        before: list[Event] = []
        async with session.called() as events:
            async for event in events:
                before.append(event)
                if len(before) == 2:
                    break
        async with session.resumed(before[-1].id) as events:
            after = [event async for event in events]
        return before, after, await _ended(here)

    before, after, ended = at(settings, scenario)
    assert before[0] == Event(tag_of(b'"a 1"') + ".0", None, "1000")
    assert [place_of(event.id) for event in (*before, *after)] == [(b'"a 1"', number) for number in range(6)]
    *progress, answer = [event.data for event in (*before[1:], *after)]
    assert [one["params"]["progress"] for one in progress] == [25, 50, 75, 100]
    assert (answer["id"], answer["result"]["isError"], ended) == ("a 1", False, ("succeeded", ""))


def test_the_end_is_kept_for_whoever_was_away_then(settings: Settings) -> None:
    async def scenario(session: Session, here: Place) -> list[Any]:
        async with session.called() as events:
            first = await anext(aiter(events))
        await _ended(here)
        async with session.resumed(first.id) as events:
            return [event.data async for event in events]

    *progress, answer = at(settings, scenario)
    assert ([one["params"]["progress"] for one in progress], answer["result"]["isError"]) == ([25, 50, 75, 100], False)


def test_a_call_that_nobody_comes_back_for_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "GRACE_S", 0.1)
    monkeypatch.setattr(resuming, "_LOOK_S", 0.1)

    async def scenario(session: Session, here: Place) -> tuple[str, str]:
        async with session.called() as events:
            await anext(aiter(events))
        return await _ended(here)

    assert at(settings, scenario) == ("failed", "CALLER_LOST")


def test_a_stream_belongs_to_its_session_and_its_user(settings: Settings) -> None:
    async def scenario(session: Session, here: Place) -> list[int]:
        await here.register("bob")
        bob = (await here.login("bob", call=CURL)).access_token
        another = await _begun(session.urls, session.token, session.version, session.http)
        his = await _begun(session.urls, bob, session.version, session.http)
        async with session.called() as events:
            last = {"last-event-id": (await anext(aiter(events))).id}
            return [
                await another.get(**last),
                await his.get(**last),
                await replace(session, token=bob).get(**last),
                await replace(session, handle="nothing").get(**last),
                await session.get(**{"last-event-id": "nothing"}),
                await session.get(**{"last-event-id": f"{tag_of(b'2')}.1"}),
                await session.get(),
            ]

    assert at(settings, scenario) == [404, 404, 404, 404, 404, 404, 405]


def test_earlier_revisions_get_streams_without_numbers(settings: Settings) -> None:
    async def scenario(session: Session, here: Place) -> list[str]:
        async with session.called() as events:
            return [event.id async for event in events]

    assert at(settings, scenario, version="2025-06-18") == [""] * 5


def test_a_journal_keeps_the_end_of_what_was_said() -> None:
    async def main() -> list[bytes]:
        journal = Journal("t")
        for number in range(1500):
            journal.add(b"%d" % number)
        journal.end()
        return [event async for event in journal.read(3)]

    events = asyncio.run(main())
    assert len(events) == 1000
    assert (events[0], events[-1]) == (
        b"id: t.501\nevent: message\ndata: 500\n\n",
        b"id: t.1500\nevent: message\ndata: 1499\n\n",
    )


@pytest.mark.parametrize("asked", [b"1", b'"a"', b'"\xc3\xa4.b-c_d/+="', b""])
def test_places_are_read_as_they_were_written(asked: bytes) -> None:
    assert place_of(f"{tag_of(asked)}.7") == (asked, 7)


@pytest.mark.parametrize("text", ["", "a", "a.", "a.b", "a.-1", "a.\u00b2", "a.1234567890", "!.1", "abcde.1"])
def test_what_is_no_place_is_none(text: str) -> None:
    assert place_of(text) is None


@pytest.mark.usefixtures("fixtures")
def test_a_call_that_lets_its_connection_go_is_answered_to_whoever_comes_back(settings: Settings) -> None:
    async def scenario(session: Session, here: Place) -> tuple[list[Event], list[Any]]:
        async with session.called("test_reconnection", {}, asked=1) as events:
            first = [event async for event in events]
        async with session.resumed(first[-1].id) as events:
            return first, [event.data["result"]["content"][0]["text"] async for event in events]

    opening = Event(f"{tag_of(b'1')}.0", None, "1000")
    assert at(settings, scenario) == ([opening], ["Whoever came back has missed nothing."])
