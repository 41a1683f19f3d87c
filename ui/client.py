"""The gateway, over HTTP and WebSocket: the only module that speaks to it."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import JsonValue
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from ui.answers import Accepted, AgentList, AgentWithTools, Answer, Code, Health, Task, TaskList, Token, User

A = TypeVar("A", bound=Answer)

_TIMEOUT_S = 20.0
_LOOKED_AT_S = 60.0
_REMEMBERED = 2_000
_FIRST_BACK_OFF_S, _LONGEST_BACK_OFF_S = 0.25, 5.0


class Refused(Exception):
    """The gateway's own words; `fields` says what is wrong with which parameter, where it does."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details

    @property
    def fields(self) -> dict[str, str]:
        places = self.details.get("fields")
        if not isinstance(places, list):
            return {}
        return {str(place.get("field")): str(place.get("message")) for place in places if isinstance(place, dict)}


class SessionEnded(Refused):
    """Whoever was signed in is not any more."""


class Unreachable(Exception):
    """Nothing, or nothing that makes sense, came back."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Where a browser is, passed on so that a session's owner recognises it."""

    address: str = ""
    user_agent: str = ""

    @property
    def headers(self) -> dict[str, str]:
        said = {"X-Forwarded-For": self.address, "User-Agent": self.user_agent}
        return {name: value.encode("ascii", "replace").decode() for name, value in said.items() if value}


class Gateway:
    """One for the whole process; `origin` without a path."""

    def __init__(self, origin: str, ui_key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        self.origin = origin.rstrip("/")
        self._ui_key = ui_key
        self._http = httpx.Client(
            base_url=self.origin, timeout=_TIMEOUT_S, trust_env=False, transport=transport, follow_redirects=False
        )
        self._lives: dict[str, Live] = {}
        self._lock = threading.Lock()

    def register(self, email: str, username: str, password: str, confirmed: str, visitor: Visitor) -> None:
        body: dict[str, JsonValue] = {"email": email, "username": username}
        body.update(password=password, confirm_password=confirmed)
        self.ask(Answer, "POST", "/api/v1/auth/register", body=body, headers=visitor.headers)

    def login(self, name: str, password: str, visitor: Visitor) -> str:
        """An access token. The refresh token that comes with it is never used: the cookie takes its place."""
        body: dict[str, JsonValue] = {"username": name, "password": password}
        return self.ask(Token, "POST", "/api/v1/auth/login", body=body, headers=visitor.headers).access_token

    def code(self, token: str) -> str:
        return self.ask(Code, "POST", "/ui/code", headers=_bearer(token)).code

    def exchange(self, handle: str) -> Token:
        """Raises SessionEnded."""
        return self.ask(Token, "POST", "/ui/token", body={"handle": handle, "ui_key": self._ui_key})

    def health(self) -> Health:
        """It says so with a 503 when the record is down."""
        answer = self._send("GET", "/health", {}, None, {})
        try:
            return Health.model_validate_json(answer.content)
        except ValueError:
            raise Unreachable(f"{self.origin} answered {answer.status_code}, and nothing that can be read") from None

    def live(self, handle: str) -> "Live":
        """One socket for all windows of a session."""
        with self._lock:
            self._lives = {key: live for key, live in self._lives.items() if live.is_running or key == handle}
            if handle not in self._lives or not self._lives[handle].is_running:
                url = f"{self.origin.replace('http', 'ws', 1)}/ws"
                self._lives[handle] = Live(url, lambda: self.exchange(handle).access_token)
            return self._lives[handle]

    def ask(
        self,
        model: type[A],
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonValue = None,
        headers: Mapping[str, str] | None = None,
    ) -> A:
        """Raises Refused and Unreachable."""
        answer = self._send(method, path, query or {}, body, headers or {})
        try:
            envelope = answer.json()
            if answer.is_success:
                return model.model_validate(envelope["data"])
            error = envelope["error"]
            kind = SessionEnded if answer.status_code == 401 and _has_ended(error) else Refused
            raise kind(answer.status_code, error["code"], error["message"], error["details"])
        except (ValueError, KeyError, TypeError):
            raise Unreachable(f"{self.origin} answered {answer.status_code}, and nothing that can be read") from None

    def _send(
        self, method: str, path: str, query: Mapping[str, str], body: JsonValue, headers: Mapping[str, str]
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, params=query, json=body, headers=headers)
        except httpx.HTTPError as exc:
            raise Unreachable(f"{self.origin} cannot be reached ({type(exc).__name__})") from None


class Client:
    """What one user may do; `token` gives an access token that still holds."""

    def __init__(self, gateway: Gateway, token: Callable[[], str]) -> None:
        self._gateway = gateway
        self._token = token

    def me(self) -> User:
        return self._ask(User, "GET", "/users/me")

    def logout(self) -> None:
        self._ask(Answer, "POST", "/auth/logout")

    def agents(self) -> AgentList:
        return self._ask(AgentList, "GET", "/agents")

    def agent(self, agent_id: str) -> AgentWithTools:
        return self._ask(AgentWithTools, "GET", f"/agents/{_segment(agent_id)}")

    def execute(self, agent_id: str, tool: str, parameters: dict[str, JsonValue], *, timeout_ms: int) -> str:
        body: dict[str, JsonValue] = {"agent_id": agent_id, "task": tool, "parameters": parameters}
        return self._ask(Accepted, "POST", "/agents/execute", body={**body, "timeout": timeout_ms}).task_id

    def tasks(
        self,
        *,
        status: str | None = None,
        agent: str | None = None,
        since: str | None = None,
        cursor: str | None = None,
    ) -> TaskList:
        query = {"status": status, "agent": agent, "since": since, "cursor": cursor, "limit": "20"}
        return self._ask(TaskList, "GET", "/tasks", query={key: value for key, value in query.items() if value})

    def task(self, task_id: str) -> Task:
        return self._ask(Task, "GET", f"/tasks/{_segment(task_id)}")

    def cancel(self, task_id: str) -> None:
        self._ask(Answer, "POST", f"/tasks/{_segment(task_id)}/cancel")

    def retry(self, task_id: str) -> str:
        return self._ask(Accepted, "POST", f"/tasks/{_segment(task_id)}/retry").task_id

    def _ask(
        self,
        model: type[A],
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: JsonValue = None,
    ) -> A:
        return self._gateway.ask(
            model, method, f"/api/v1{path}", query=query, body=body, headers=_bearer(self._token())
        )


@dataclass(frozen=True, slots=True)
class Change:
    status: str
    progress: float
    message: str


class Live:
    """What a user's tasks and agents do, as the gateway tells it.

    One thread, which ends once nobody has looked for a minute.
    """

    def __init__(self, url: str, token: Callable[[], str]) -> None:
        self._url = url
        self._token = token
        self._tasks: dict[str, Change] = {}
        self._last_seq: int | None = None
        self._looked_at = time.monotonic()
        self.version = 0
        self.connected = False
        self.ended = False
        self._thread = threading.Thread(target=self._follow, name="live", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def look(self) -> "Live":
        self._looked_at = time.monotonic()
        return self

    def task(self, task_id: str) -> Change | None:
        return self._tasks.get(task_id)

    def _wanted(self) -> bool:
        return time.monotonic() - self._looked_at < _LOOKED_AT_S

    def _follow(self) -> None:
        back_off_s = _FIRST_BACK_OFF_S
        while self._wanted() and not self.ended:
            try:
                with connect(self._url, open_timeout=5, close_timeout=1, max_size=1 << 20, proxy=None) as socket:
                    self._enter(socket)
                    back_off_s = _FIRST_BACK_OFF_S
                    self._hear(socket)
            except SessionEnded:
                self.ended = True
            except (OSError, ValueError, KeyError, Refused, Unreachable, WebSocketException):
                back_off_s = min(back_off_s * 2, _LONGEST_BACK_OFF_S)
            self.connected = False
            if not self.ended:
                time.sleep(back_off_s)

    def _enter(self, socket: ClientConnection) -> None:
        socket.send(json.dumps({"type": "auth", "token": self._token()}))
        ready = json.loads(socket.recv(timeout=5))
        since = ready["last_seq"] if self._last_seq is None else self._last_seq
        asked = {"type": "subscribe", "channels": ["task_status", "agent_updates"]}
        socket.send(json.dumps({**asked, "last_seq": since}))
        self.connected = True
        # What happened while nobody listened is in the API's answers: pages ask again.
        self.version += 1

    def _hear(self, socket: ClientConnection) -> None:
        while self._wanted():
            try:
                frame = json.loads(socket.recv(timeout=5))
            except TimeoutError:
                continue
            if frame.get("type") == "task_progress":
                self._tasks[frame["task_id"]] = Change(frame["status"], frame["progress"], frame["message"])
                self._last_seq = frame.get("seq") or self._last_seq
                while len(self._tasks) > _REMEMBERED:
                    del self._tasks[next(iter(self._tasks))]
            self.version += 1


def _has_ended(error: Mapping[str, object]) -> bool:
    details = error.get("details")
    return not (isinstance(details, dict) and details.get("reason") in ("credentials", "token_expired"))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _segment(text: str) -> str:
    return quote(text, safe="")
