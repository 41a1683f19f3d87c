"""What an action tells while it runs, from this process and from a child."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.asgi import Answer, Request, send_pieces
from shared.catalog import load
from shared.children import Children
from shared.config import Settings
from shared.dialogue import SILENT, Dialogue
from shared.function import LogLevel
from shared.mcp.stream import Outbox, streamed
from shared.perform import RunContext, perform
from shared.ports.tasks import Claimed, Outcome
from shared.strict_json import Json
from shared.watched import WatchedRun
from tests.fakes import ADA, EXECUTION

CHATTY = load("tests.mcp.chatty")
TOLD: list[object] = [(50.0, "half of it"), ("warning", {"left": [1, 2]}, "chatty"), "roots"]


@dataclass
class Heard:
    told: list[object] = field(default_factory=list)

    def progress(self, percent: float, message: str) -> None:
        self.told.append((percent, message))

    def log(self, level: LogLevel, data: Json, logger: str) -> None:
        self.told.append((level, data, logger))

    def lacks(self, capability: str) -> None:
        self.told.append(capability)

    def detached(self) -> None:
        self.told.append("detached")


def _watched(heard: Heard, dialogue: Dialogue = SILENT) -> WatchedRun:
    return WatchedRun(ADA, EXECUTION, 1, dialogue=dialogue, watcher=heard)


async def _here(run: RunContext) -> Outcome:
    return await perform(CHATTY, {}, run=run, ports={}, timeout_s=10, attempts_left=False)


async def _in_child(run: RunContext) -> Outcome:
    children = Children([CHATTY], size=1)
    task = Claimed(
        user_id=ADA,
        id=EXECUTION,
        agent=CHATTY.agent,
        tool=CHATTY.tool.name,
        parameters={},
        timeout_ms=20_000,
        attempt=1,
        max_attempts=1,
        losses=0,
        fence=0,
    )
    try:
        return await children.run(CHATTY, task, run, timeout_s=20, alone=True)
    finally:
        await children.close()


@pytest.mark.parametrize("place", [_here, _in_child])
def test_all_that_is_told_arrives(place: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_HOME", str(settings.home))
    heard = Heard()
    outcome = asyncio.run(place(_watched(heard)))
    assert (outcome.status, outcome.result) == ("succeeded", "nobody was asked")
    assert heard.told == TOLD


def test_where_nobody_listens_nothing_is_lost_but_the_telling() -> None:
    run = RunContext(ADA, EXECUTION, 1)
    assert asyncio.run(_here(run)).result == "nobody was asked"
    assert run.latest == (50.0, "half of it")


def test_an_answer_that_does_not_fit_is_asked_for_again() -> None:
    async def asked(roots: Json) -> Outcome:
        return await _here(_watched(Heard(), Dialogue(frozenset({"roots"}), {"roots": roots})))

    assert asyncio.run(asked({"roots": []})).result == "somebody was asked"
    wrong = asyncio.run(asked({"roots": 7}))
    assert wrong.asks is not None and [*wrong.asks.requests] == ["roots"]


def _request(gone: asyncio.Event) -> Request:
    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}, receive)


async def _spoken(outbox: Outbox, told: asyncio.Event) -> Answer:
    outbox.put(b"{}")
    await told.wait()
    return Answer(200, b'{"id":1}')


def test_a_process_that_stops_lets_calls_end() -> None:
    async def main() -> list[bytes]:
        outbox, told, stopping = Outbox(), asyncio.Event(), asyncio.Event()
        request = _request(asyncio.Event())
        answer = await streamed(_spoken(outbox, told), outbox, request)
        stopping.set()
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            if body := message.get("body"):
                sent.append(body)
                told.set()

        async with asyncio.timeout(20):
            await send_pieces(send, request, answer, stopping=stopping)
        return sent

    assert asyncio.run(main()) == [b"event: message\ndata: {}\n\n", b'event: message\ndata: {"id":1}\n\n']


def test_work_whose_stream_nobody_takes_ends_with_it() -> None:
    async def main() -> bool:
        outbox, ended = Outbox(), asyncio.Event()

        async def work() -> Answer:
            try:
                return await _spoken(outbox, asyncio.Event())
            finally:
                ended.set()

        answer = await streamed(work(), outbox, _request(asyncio.Event()))
        assert answer.pieces is not None
        await answer.pieces.aclose()
        return ended.is_set()

    assert asyncio.run(main())
