"""The UI's client: what it sends, and what it makes of the answers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from websockets.sync.server import ServerConnection, serve

from ui.answers import Token
from ui.client import Change, Client, Gateway, Live, Refused, SessionEnded, Unreachable, Visitor

ORIGIN = "http://gateway.example"
TASK = {
    "task_id": "7b6c1a52-0000-4000-8000-000000000001",
    "agent_id": "everything",
    "task": "echo",
    "status": "queued",
    "created_at": "2030-01-01T00:00:00Z",
    "expires_at": "2030-01-01T01:00:00Z",
    "later": "a field that this version does not know",
}


def answered(*answers: httpx.Response) -> tuple[Gateway, list[httpx.Request]]:
    """A gateway that gives these answers in turn, and what it was asked."""
    asked: list[httpx.Request] = []
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return next(left)

    return Gateway(ORIGIN, "the-key", transport=httpx.MockTransport(answer)), asked


def success(data: object) -> httpx.Response:
    return httpx.Response(200, json={"success": True, "data": data})


def failure(status: int, code: str, message: str, **details: object) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": message, "details": details}})


def test_a_handle_is_exchanged_with_the_key_and_in_no_address() -> None:
    gateway, asked = answered(success({"access_token": "t", "expires_in": 600}))
    assert gateway.exchange("the-handle") == Token(access_token="t", expires_in=600)
    assert str(asked[0].url) == f"{ORIGIN}/ui/token"
    assert json.loads(asked[0].content) == {"handle": "the-handle", "ui_key": "the-key"}


def test_the_browser_is_passed_on_when_it_logs_in() -> None:
    gateway, asked = answered(success({"access_token": "t", "expires_in": 600}))
    assert gateway.login("ada", "secret", Visitor(address="192.0.2.1", user_agent="Firefox \u2603")) == "t"
    assert (asked[0].headers["x-forwarded-for"], asked[0].headers["user-agent"]) == ("192.0.2.1", "Firefox ?")


def test_a_call_carries_the_token_and_survives_fields_of_later_versions() -> None:
    gateway, asked = answered(success(TASK))
    task = Client(gateway, lambda: "t").task(TASK["task_id"])
    assert (task.status, task.has_ended, task.result) == ("queued", False, None)
    assert asked[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("task_id", ["../users", "a/b?c=d#e", "%2e"])
def test_an_id_stays_within_its_segment(task_id: str) -> None:
    gateway, asked = answered(failure(404, "NOT_FOUND", "no task"))
    with pytest.raises(Refused):
        Client(gateway, lambda: "t").task(task_id)
    path, _, last = asked[0].url.raw_path.decode().rpartition("/")
    assert path == "/api/v1/tasks" and last and not set(last) & set("/?#")


def test_a_refusal_comes_in_the_words_of_the_api() -> None:
    fields = [{"field": "parameters.path", "message": "Field required"}]
    gateway, _ = answered(failure(400, "VALIDATION_ERROR", "the request is not as declared", fields=fields))
    with pytest.raises(Refused) as refusal:
        Client(gateway, lambda: "t").execute("filesystem", "read_file", {}, timeout_ms=1000)
    error = refusal.value
    assert (error.status, error.code, error.message) == (400, "VALIDATION_ERROR", "the request is not as declared")
    assert error.fields == {"parameters.path": "Field required"} and not isinstance(error, SessionEnded)


@pytest.mark.parametrize(
    "reason, ended",
    [("session_ended", True), ("token_missing", True), ("credentials", False), ("token_expired", False)],
)
def test_an_ended_session_is_told_apart_from_a_wrong_password(reason: str, ended: bool) -> None:
    gateway, _ = answered(failure(401, "UNAUTHORIZED", "no", reason=reason))
    with pytest.raises(Refused) as refusal:
        gateway.exchange("x")
    assert isinstance(refusal.value, SessionEnded) is ended


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(502, text="<html>"), httpx.Response(200, json=[]), httpx.Response(200, json={"data": {"x": 1}})],
)
def test_an_answer_that_makes_no_sense_counts_as_none(answer: httpx.Response) -> None:
    gateway, _ = answered(answer)
    with pytest.raises(Unreachable, match=ORIGIN):
        gateway.exchange("x")


def test_a_gateway_that_is_away_is_said_to_be_so() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Unreachable, match="cannot be reached"):
        Gateway(ORIGIN, "k", transport=httpx.MockTransport(refuse)).health()


def test_health_is_read_from_a_503_too() -> None:
    report = {"status": "down", "version": "1", "services": {"postgres": {"status": "down", "detail": "gone"}}}
    gateway, _ = answered(httpx.Response(503, json=report))
    health = gateway.health()
    assert (health.status, health.services["postgres"].detail) == ("down", "gone")


# --- the socket ----------------------------------------------------------------------------------------------------


@contextmanager
def socket_server(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    with serve(handler, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        finally:
            server.shutdown()
            thread.join(10)


def progress(seq: int | None, status: str, percent: float) -> str:
    frame = {"type": "task_progress", "task_id": "t1", "status": status, "progress": percent, "message": "m"}
    return json.dumps({**frame, "seq": seq})


def test_a_socket_that_breaks_is_opened_again_where_it_had_stopped() -> None:
    heard: list[dict[str, object]] = []
    again, done = threading.Event(), threading.Event()

    def handler(connection: ServerConnection) -> None:
        heard.append(json.loads(connection.recv()))
        connection.send(json.dumps({"type": "ready", "user_id": "u", "last_seq": 5}))
        heard.append(json.loads(connection.recv()))
        if len(heard) == 2:
            connection.send(progress(6, "running", 10))
            return
        connection.send(progress(7, "succeeded", 100))
        again.set()
        done.wait(10)

    with socket_server(handler) as url:
        live = Live(url, lambda: "token")
        assert again.wait(10)
        for _ in range(1000):
            if live.task("t1") == Change("succeeded", 100, "m"):
                break
            threading.Event().wait(0.01)
        assert live.task("t1") == Change("succeeded", 100, "m") and live.connected
        live.ended = True
        done.set()
    auth = {"type": "auth", "token": "token"}
    subscribe = {"type": "subscribe", "channels": ["task_status", "agent_updates"]}
    assert heard == [auth, {**subscribe, "last_seq": 5}, auth, {**subscribe, "last_seq": 6}]


def test_a_session_that_has_ended_ends_its_socket() -> None:
    def ended() -> str:
        raise SessionEnded(401, "UNAUTHORIZED", "the session has ended", {})

    with socket_server(lambda connection: None) as url:
        live = Live(url, ended)
        live._thread.join(10)
        assert live.ended and not live.is_running and not live.connected


def test_one_session_has_one_socket_however_many_windows_look() -> None:
    gateway, _ = answered(*[failure(401, "UNAUTHORIZED", "no", reason="session_ended")] * 5)
    found = []

    def handler(connection: ServerConnection) -> None:
        connection.recv()

    with socket_server(handler) as url:
        gateway.origin = url.replace("ws", "http", 1).removesuffix("/ws")
        found = [gateway.live("a"), gateway.live("a"), gateway.live("b")]
        for live in found:
            live.ended = True
    assert found[0] is found[1] and found[0] is not found[2]
