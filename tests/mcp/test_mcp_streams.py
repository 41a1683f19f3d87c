"""What is said while a call goes on: progress, log messages and questions, on whichever replica."""

import asyncio
from typing import Any

import pytest

from shared.config import Settings
from tests.mcp.replicas import LEGACY, Replicas, among, messages, modern
from tests.mcp.served import META, Served, at, error_of, result_of

PARAMS, INVALID = -32602, -32600
LONG, RESEARCH, FORM = "trigger-long-running-operation", "simulate-research-query", "trigger-elicitation-request"
SHORT = {"duration": 0.4, "steps": 4}
LEVEL = "io.modelcontextprotocol/logLevel"
FILLED_IN = {"action": "accept", "content": {"name": "Ada"}}


async def _heard(replicas: Replicas, name: str, arguments: dict[str, Any], **meta: Any) -> list[dict[str, Any]]:
    async with replicas.call(0, name, arguments, modern(name), **meta) as answer:
        return [message async for message in messages(answer)]


def test_progress_is_told_to_who_asks_for_it_and_rises(settings: Settings) -> None:
    async def call(replicas: Replicas) -> list[dict[str, Any]]:
        return await _heard(replicas, LONG, SHORT, progressToken="mine")

    *told, last = among(settings, call)
    assert told == [
        {
            "jsonrpc": "2.0",
            "method": "notifications/progress",
            "params": {
                "progressToken": "mine",
                "progress": 25.0 * step,
                "total": 100,
                "message": f"step {step} of 4",
            },
        }
        for step in (1, 2, 3, 4)
    ]
    assert (last["id"], last["result"]["resultType"], last["result"]["isError"]) == (7, "complete", False)


@pytest.mark.parametrize("level, heard", [("debug", 4), ("info", 4), ("warning", 0)])
def test_log_messages_are_told_from_the_level_on_that_was_asked_for(settings: Settings, level: str, heard: int) -> None:
    async def call(replicas: Replicas) -> tuple[str, list[dict[str, Any]]]:
        async with replicas.call(0, RESEARCH, {"topic": "queues"}, modern(RESEARCH), **{LEVEL: level}) as answer:
            kind = answer.headers["content-type"]
            return kind, [message async for message in messages(answer)] if heard else [await _read(answer)]

    kind, said = among(settings, call)
    assert kind == ("text/event-stream" if heard else "application/json")
    assert [message["params"] for message in said[:-1]] == [
        {"level": "info", "data": f"{stage}: queues", "logger": "research"}
        for stage in ("Gathering sources", "Analyzing content", "Synthesizing findings", "Writing the report")[:heard]
    ]
    assert said[-1]["result"]["isError"] is False


async def _read(answer: Any) -> Any:
    await answer.aread()
    return answer.json()


def test_who_asks_for_nothing_or_takes_no_stream_gets_one_answer(settings: Settings) -> None:
    async def call(replicas: Replicas) -> list[tuple[str, bool]]:
        asked: list[tuple[dict[str, str], dict[str, Any]]] = [
            ({}, {}),
            ({"accept": "application/json"}, {"progressToken": 1, LEVEL: "debug"}),
            ({"accept": "application/json, text/event-stream;q=0"}, {"progressToken": 1}),
        ]
        found = []
        for headers, meta in asked:
            async with replicas.call(0, RESEARCH, {"topic": "a"}, {**modern(RESEARCH), **headers}, **meta) as answer:
                said = await _read(answer)
                found.append((answer.headers["content-type"], said["result"]["isError"]))
        return found

    assert among(settings, call) == [("application/json", False)] * 3


@pytest.mark.parametrize("meta", [{LEVEL: "loud"}, {LEVEL: 7}, {"progressToken": 1.5}, {"progressToken": True}])
def test_a_token_or_level_that_is_none_is_an_error(settings: Settings, meta: dict[str, Any]) -> None:
    async def call(served: Served) -> tuple[int, int, object]:
        params = {"name": LONG, "arguments": SHORT, "_meta": {**META, **meta}}
        return error_of(await served.modern("tools/call", params))

    assert at(settings, call) == (400, PARAMS, 7)


def test_a_stream_that_its_client_closes_ends_the_call(settings: Settings) -> None:
    async def leave(replicas: Replicas) -> None:
        asked = {"duration": 60, "steps": 600}
        async with replicas.call(0, LONG, asked, modern(LONG), progressToken=1) as answer:
            async for _ in messages(answer):
                break
        await replicas.recorded((LONG, "failed", "CALLER_LOST"))

    among(settings, leave)


def test_an_older_client_is_asked_on_the_stream_and_answers_at_another_replica(settings: Settings) -> None:
    async def call(replicas: Replicas) -> tuple[dict[str, Any], int, dict[str, Any], list[tuple[str, str, str]]]:
        session = await replicas.begin()
        async with replicas.call(0, FORM, {}, session) as answer:
            said = messages(answer)
            asked = await anext(said)
            status = (await replicas.post(1, {"id": asked["id"], "result": FILLED_IN}, session)).status_code
            return asked, status, await anext(said), await replicas.rows()

    asked, status, done, rows = among(settings, call)
    assert (asked["method"], asked["params"]["requestedSchema"]["required"]) == ("elicitation/create", ["name"])
    assert (status, done["id"], done["result"]["isError"]) == (202, 7, False)
    assert done["result"]["content"][0]["text"].startswith("The form was filled in:")
    assert rows == [(FORM, "succeeded", "")]


@pytest.mark.parametrize(
    "answer, said",
    [
        ({"error": {"code": -1, "message": "no, thanks"}}, "the client refused elicitation/create: no, thanks"),
        ({"result": {"action": "accept", "content": {}}}, "is not what it was asked for"),
        ({"result": 7}, "is not what it was asked for"),
    ],
)
def test_an_answer_that_is_none_is_said_to_the_model(settings: Settings, answer: dict[str, Any], said: str) -> None:
    async def call(replicas: Replicas) -> dict[str, Any]:
        session = await replicas.begin()
        async with replicas.call(1, FORM, {}, session) as stream:
            told = messages(stream)
            asked = await anext(told)
            assert (await replicas.post(0, {"id": asked["id"], **answer}, session)).status_code == 202
            return await anext(told)

    result = among(settings, call)["result"]
    assert result["isError"] is True
    assert said in result["content"][0]["text"]


def test_nobody_else_can_answer_and_nobody_answers_twice(settings: Settings) -> None:
    async def call(replicas: Replicas) -> list[int]:
        session = await replicas.begin()
        await replicas.here.register("bob")
        token = (await replicas.here.login("bob")).access_token
        bob = Replicas(replicas.urls, token, replicas.here, replicas.http)
        theirs = await bob.begin()
        async with replicas.call(0, FORM, {}, session) as answer:
            said = messages(answer)
            given = {"id": (await anext(said))["id"], "result": FILLED_IN}
            statuses = [(await bob.post(replica, given, theirs)).status_code for replica in (0, 1)]
            statuses.append((await replicas.post(1, given, session)).status_code)
            await anext(said)
        statuses.append((await replicas.post(0, given, session)).status_code)
        statuses.append((await replicas.post(0, {"id": "made-up", "result": {}}, session)).status_code)
        return statuses

    assert among(settings, call) == [400, 400, 202, 400, 400]


def test_an_older_client_that_cannot_be_asked_is_told_in_the_result(settings: Settings) -> None:
    async def call(replicas: Replicas) -> list[bool]:
        silent = await replicas.begin(can={"sampling": {}})
        able = await replicas.begin()
        asked = [silent, {**able, "accept": "application/json"}, {"mcp-protocol-version": LEGACY}]
        found = []
        for headers in asked:
            async with replicas.call(0, FORM, {}, headers) as answer:
                found.append((await _read(answer))["result"]["isError"])
        return found

    assert among(settings, call) == [True] * 3


def test_a_call_is_cancelled_from_another_replica(settings: Settings) -> None:
    async def cancel(replicas: Replicas) -> bytes:
        session = await replicas.begin()
        notified = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        arguments = {"duration": 60, "steps": 600}
        async with replicas.call(0, LONG, arguments, session, progressToken=1) as answer:
            said = answer.aiter_bytes()
            heard = await anext(said)
            assert (await replicas.post(1, notified, session)).status_code == 202
            heard += b"".join([part async for part in said])
        await replicas.recorded((LONG, "failed", "CALLER_LOST"))
        return heard

    heard = among(settings, cancel)
    assert b"notifications/progress" in heard and b'"result"' not in heard


def test_a_call_that_writes_is_cancelled_from_another_replica(settings: Settings) -> None:
    async def cancel(replicas: Replicas) -> bytes:
        session = await replicas.begin()
        notified = {"method": "notifications/cancelled", "params": {"requestId": 7}}

        async def called() -> bytes:
            async with replicas.call(0, "ledger", {"duration_ms": 60_000}, session) as answer:
                return await answer.aread()

        calling = asyncio.create_task(called())
        await replicas.recorded(("ledger", "running", ""))
        assert (await replicas.post(1, notified, session)).status_code == 202
        await replicas.recorded(("ledger", "failed", "CALLER_LOST"))
        return await calling

    assert b'"result"' not in among(settings, cancel)


def test_only_its_own_session_cancels_a_call(settings: Settings) -> None:
    async def cancel(replicas: Replicas) -> bool:
        session, other = await replicas.begin(), await replicas.begin()
        notified = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        async with replicas.call(0, LONG, {"duration": 1.5, "steps": 10}, session, progressToken=1) as answer:
            said = messages(answer)
            await anext(said)
            for headers in (other, {"mcp-protocol-version": LEGACY}):
                assert (await replicas.post(0, notified, headers)).status_code == 202
            return bool([message async for message in said][-1]["result"]["isError"])

    assert among(settings, cancel) is False


def test_a_session_keeps_its_level_on_every_replica(settings: Settings) -> None:
    async def call(replicas: Replicas) -> tuple[int, int, tuple[int, int]]:
        session = await replicas.begin()

        async def heard() -> int:
            async with replicas.call(0, RESEARCH, {"topic": "a"}, session) as answer:
                if answer.headers["content-type"] != "text/event-stream":
                    await answer.aread()
                    return 0
                return len([message async for message in messages(answer)]) - 1

        usual = await heard()
        asked = {"id": 7, "method": "logging/setLevel", "params": {"level": "error"}}
        result_of(await replicas.post(1, asked, session))
        while await heard():
            pass
        wrong = await replicas.post(1, {**asked, "params": {"level": "loud"}}, session)
        without = await replicas.post(1, asked, {"mcp-protocol-version": LEGACY})
        return usual, await heard(), (wrong.json()["error"]["code"], without.json()["error"]["code"])

    assert among(settings, call) == (4, 0, (PARAMS, INVALID))


def test_a_session_ends_everywhere_and_is_nobody_elses(settings: Settings) -> None:
    async def end(replicas: Replicas) -> list[int]:
        session = await replicas.begin()
        listed = {"id": 7, "method": "tools/list", "params": {}}
        await replicas.here.register("bob")
        token = (await replicas.here.login("bob")).access_token
        bob = Replicas(replicas.urls, token, replicas.here, replicas.http)

        async def status(who: Replicas, replica: int, headers: dict[str, str]) -> int:
            return (await who.post(replica, listed, headers)).status_code

        made_up = {**session, "mcp-session-id": "of-another-server"}
        seen = [await status(replicas, replica, session) for replica in (0, 1)]
        seen += [await status(bob, 0, session), await status(replicas, 0, made_up)]
        ended = [
            await replicas.http.delete(replicas.urls[0], headers=replicas.headers(headers))
            for headers in (session, session, made_up, {})
        ]
        seen += [answer.status_code for answer in ended]
        seen.append(await status(replicas, 0, session))
        while await status(replicas, 1, session) != 404:
            pass
        return seen

    assert among(settings, end) == [200, 200, 404, 404, 204, 404, 404, 400, 404]
