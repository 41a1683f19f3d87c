"""The pages, over a gateway that answers from memory."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element

from ui import session
from ui.client import Change, Gateway, Live, SessionEnded, Visitor

APP = Path(__file__).resolve().parents[2] / "ui" / "app.py"
TASK_ID = "7b6c1a52-0000-4000-8000-000000000001"
EVIL = "![pixel](http://example.org/track.png) <img src=x> :red[x]"
AGENT = {"id": "everything", "name": "Everything", "description": EVIL, "status": "ready", "tools": ["echo"]}
TOOL = {
    "name": "echo",
    "title": "Echo",
    "description": "Return the `message`.",
    "effect": "read",
    "timeout_ms": 5000,
    "input_schema": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"message": {"type": "string"}, "times": {"type": "integer", "maximum": 3, "default": 1}},
        "required": ["message"],
    },
}
HEALTH = {"status": "degraded", "version": "1", "services": {"redis": {"status": "down", "detail": "gone"}}}


class Quiet:
    """A socket on which nothing is said."""

    version = 0
    connected = True

    def task(self, task_id: str) -> Change | None:
        del task_id
        return None


class Platform:
    """Answers as the API does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], httpx.Response | Callable[[], httpx.Response]] = {}
        self.set("POST", "/ui/token", {"access_token": "t", "expires_in": 600})
        self.set("GET", "/api/v1/users/me", {"username": "ada", "email": "ada@example.org"})
        self.set("GET", "/api/v1/agents", {"agents": [AGENT]})
        self.set("GET", "/api/v1/agents/everything", {"agent": AGENT, "tools": [TOOL]})
        self.set("GET", "/api/v1/tasks", {"tasks": [], "next_cursor": None})
        self.set("POST", "/api/v1/agents/execute", {"task_id": TASK_ID})
        self.set("POST", "/api/v1/auth/logout", {"ended": 1})

    def set(self, method: str, path: str, data: object) -> None:
        self.answers[method, path] = httpx.Response(200, json={"success": True, "data": data})

    def refuse(self, method: str, path: str, status: int, code: str, message: str, **details: object) -> None:
        error = {"code": code, "message": message, "details": details}
        self.answers[method, path] = httpx.Response(status, json={"success": False, "error": error})

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.path, body))
        found = self.answers[request.method, request.url.path]
        return found if isinstance(found, httpx.Response) else found()

    def bodies(self, path: str) -> list[Any]:
        return [body for _, asked, body in self.asked if asked == path]


def task(status: str, **more: object) -> dict[str, object]:
    times = {"created_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T01:00:00Z"}
    about = {"task_id": TASK_ID, "agent_id": "everything", "task": "echo", "parameters": {"message": "hi"}}
    return {**about, **times, "status": status, **more}


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform = Platform()
    gateway = Gateway("http://gateway.example", "key", transport=httpx.MockTransport(platform.answer))
    monkeypatch.setattr(session, "gateway", lambda: gateway)
    monkeypatch.setattr(session, "handle", lambda: "handle")
    monkeypatch.setattr(session, "visitor", Visitor)
    monkeypatch.setattr(session, "live", lambda: cast(Live, Quiet()))
    return platform


def opened() -> AppTest:
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not app.exception, app.exception
    return app


def page(name: str, **query: str) -> AppTest:
    """One page without its menu: clicks in a menu's page do not reach it in Streamlit's tests."""
    script = f"""
import streamlit as st
from ui.components import links
from ui.components.trouble import explained
from ui.navigation import pages
from ui.pages import {name}
found = pages()
links.remember(found)
st.navigation(found)
with explained():
    {name}.page()
"""
    app = AppTest.from_string(script, default_timeout=30)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    """All that is written on the page, without marks of Markdown."""
    kinds = ("title", "markdown", "caption", "error", "info", "warning", "code", "text")
    text = "\n".join(str(cast(Element, element).value) for kind in kinds for element in app.get(kind))
    return re.sub(r"\\(?=\W)", "", text)


def test_without_a_cookie_one_is_asked_to_sign_in(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "handle", lambda: None)
    app = opened()
    assert [field.label for field in app.text_input][:2] == ["Email or username", "Password"]
    assert platform.asked == []


def test_a_cookie_of_an_ended_session_leads_to_signing_in_with_a_word_about_why(platform: Platform) -> None:
    platform.refuse("POST", "/ui/token", 401, "UNAUTHORIZED", "the session has ended", reason="session_ended")
    app = opened()
    assert "Your session has ended. Sign in to go on." in words(app)


def test_while_the_platform_is_away_one_may_try_again(platform: Platform) -> None:
    def away() -> httpx.Response:
        raise httpx.ConnectError("refused")

    platform.answers["POST", "/ui/token"] = away
    app = opened()
    assert "The platform does not answer" in words(app) and [button.label for button in app.button] == ["Try again"]


def test_a_wrong_password_is_answered_in_the_words_of_the_api(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "handle", lambda: None)
    wrong = "the name or the password is wrong"
    platform.refuse("POST", "/api/v1/auth/login", 401, "UNAUTHORIZED", wrong, reason="credentials")
    app = page("sign_in")
    app.text_input(key="name").input("ada")
    app.text_input(key="password").input("not-it")
    app.button[0].click().run()
    assert wrong in words(app) and not app.exception


def test_agents_are_listed_and_their_words_stay_words(platform: Platform) -> None:
    app = opened()
    assert app.title[0].value == "Agents"
    [description] = [element.value for element in app.markdown if "pixel" in element.value]
    assert "![" not in description and "\\!\\[pixel\\]" in description and "\\<img" in description


def test_a_form_sends_what_was_entered_and_shows_the_result(platform: Platform) -> None:
    done = task("succeeded", result={"content": [{"type": "text", "text": EVIL}]}, execution_time=12.5)
    platform.set("GET", f"/api/v1/tasks/{TASK_ID}", done)
    app = page("agent", agent="everything", tool="echo")
    app.text_input[0].input("hi")
    app.number_input[0].set_value(2)
    app.button[0].click().run()
    assert not app.exception
    [asked] = platform.bodies("/api/v1/agents/execute")
    assert asked == {
        "agent_id": "everything",
        "task": "echo",
        "parameters": {"message": "hi", "times": 2},
        "timeout": 5000,
    }
    assert EVIL in [code.value for code in app.code]
    assert any("$SUTAZAI_API_KEY" in code.value for code in app.code)


def test_a_form_that_lacks_something_says_what_and_sends_nothing(platform: Platform) -> None:
    app = page("agent", agent="everything", tool="echo")
    app.button[0].click().run()
    assert "**message** is needed" in words(app)
    assert platform.bodies("/api/v1/agents/execute") == []


def test_what_the_api_refuses_is_shown_with_its_fields(platform: Platform) -> None:
    fields = [{"field": "parameters.message", "message": "too long"}]
    platform.refuse("POST", "/api/v1/agents/execute", 400, "VALIDATION_ERROR", "not as declared", fields=fields)
    app = page("agent", agent="everything", tool="echo")
    app.text_input[0].input("hi")
    app.button[0].click().run()
    shown = words(app)
    assert "not as declared" in shown and "**parameters.message**: too long" in shown and "VALIDATION_ERROR" in shown


def test_a_page_whose_session_ends_leads_back_to_signing_in(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended() -> Live:
        raise SessionEnded(401, "UNAUTHORIZED", "the session has ended", {})

    monkeypatch.setattr(session, "live", ended)
    app = opened()
    assert app.session_state["signed_out"] is True and "user" not in app.session_state


def test_a_platform_that_is_away_is_said_to_be_so(platform: Platform) -> None:
    def away() -> httpx.Response:
        raise httpx.ConnectError("refused")

    platform.answers["GET", "/api/v1/agents/everything"] = away
    assert "The platform does not answer" in words(page("agent", agent="everything"))


def test_an_empty_list_of_tasks_says_what_to_do(platform: Platform) -> None:
    app = page("tasks")
    assert "There are no tasks yet. Open an agent and run one of its tools." in words(app)


def test_filters_and_cursors_are_passed_on(platform: Platform) -> None:
    queries: list[dict[str, str]] = []

    def listed(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v1/tasks":
            queries.append(dict(request.url.params))
            found = {"tasks": [task("failed")], "next_cursor": None if "cursor" in request.url.params else "c1"}
            return httpx.Response(200, json={"success": True, "data": found})
        return platform.answer(request)

    gateway = session.gateway()
    gateway._http = httpx.Client(base_url="http://gateway.example", transport=httpx.MockTransport(listed))
    app = page("tasks")
    app.selectbox[0].set_value("failed").run()
    app.button[0].click().run()
    assert not app.exception
    assert queries[0] == {"limit": "20"}
    assert queries[1] == {"limit": "20", "status": "failed"}
    assert queries[-1] == {"limit": "20", "status": "failed", "cursor": "c1"}


@pytest.mark.parametrize(
    "found, shown",
    [
        (task("failed", error={"code": "TOOL_ERROR", "message": "no such file"}), "no such file"),
        (task("expired"), "Nothing was free to run it before it expired."),
        (task("cancelled"), "It was cancelled."),
        (task("running", progress=40.0, message="step 2"), "started.v1"),
        (task("succeeded", result=None), "The tool returned nothing."),
    ],
)
def test_a_task_shows_how_it_has_ended(platform: Platform, found: dict[str, object], shown: str) -> None:
    events = [{"type": "task.started.v1", "sequence": 1, "at": "2030-01-01T00:00:01Z"}]
    platform.set("GET", f"/api/v1/tasks/{TASK_ID}", {**found, "events": events})
    app = page("task", task=TASK_ID)
    assert not app.exception
    tables = "".join(str(table.value.to_dict()) for table in app.table)
    assert shown in words(app) + tables


def test_a_task_that_is_not_there_is_not_an_error_of_ours(platform: Platform) -> None:
    platform.refuse("GET", f"/api/v1/tasks/{TASK_ID}", 404, "NOT_FOUND", "no task")
    app = page("task", task=TASK_ID)
    assert "There is no such task, or it is not yours. Choose one from the list." in words(app)


def test_health_shows_every_part_with_its_state_in_words(platform: Platform) -> None:
    platform.answers["GET", "/health"] = httpx.Response(200, json=HEALTH)
    shown = words(page("health"))
    for text in ("Degraded", "Down", "Redis", "gone", "a part of it does not"):
        assert text in shown


@pytest.mark.parametrize(
    "result",
    [
        "text",
        '{"a": 1}',
        "# two\n![x](http://example.org/x.png)",
        [],
        [{"a": 1, "b": "x"}, {"a": 2, "b": None}],
        [{"a": 1}, {"b": 2}],
        {"temperature": 21.5, "conditions": "clear"},
        {"content": [{"type": "image", "data": "no image", "mimeType": "image/png"}]},
        {"content": [{"type": "image", "data": "AAAA", "mimeType": "image/png"}]},
        {"content": [{"type": "resource_link", "uri": "javascript:alert(1)"}]},
        {"content": [{"type": "resource", "resource": {"uri": "u", "text": "t"}}]},
        {"content": [{"type": "unheard-of"}], "provenance": {"url": "x"}},
        {"content": 7},
        {"deep": {"er": [1, 2]}},
        True,
        0,
    ],
)
def test_every_result_can_be_shown(platform: Platform, result: object) -> None:
    platform.set("GET", f"/api/v1/tasks/{TASK_ID}", task("succeeded", result=result))
    app = page("task", task=TASK_ID)
    assert not app.exception and not app.error, result
    for toggle in app.toggle:
        toggle.set_value(True)
    app.run()
    assert not app.exception
    assert not any("![" in element.value for element in app.markdown)
