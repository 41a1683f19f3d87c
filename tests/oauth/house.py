"""A platform that issues tokens, a browser that people sit at, and programs that ask to be let in."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from shared.catalog import actions_of, load, modules
from shared.config import Settings
from shared.function import Http, Spec
from shared.ports.egress import Egress, Response
from shared.serve import App
from tests.fakes import FakeEgress
from tests.people import PASSWORD, Place, place

T = TypeVar("T")

BASE = "http://127.0.0.1:10008"
AGENT = f"{BASE}/mcp/everything"
DESCRIPTION = "https://app.example.org/client.json"
CALLBACK = "http://127.0.0.1:3000/callback"
WEB_CALLBACK = "https://app.example.org/callback"


def document(url: str = DESCRIPTION, **changed: Any) -> dict[str, Any]:
    """How a client describes itself; what is None is left out."""
    said = {
        "client_id": url,
        "client_name": "Example",
        "redirect_uris": [CALLBACK, WEB_CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        **changed,
    }
    return {name: value for name, value in said.items() if value is not None}


def served(
    body: object, *, url: str = DESCRIPTION, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(
        status=status, headers={"content-type": "application/json", **(headers or {})}, body=content, url=url
    )


class _Forms(HTMLParser):
    """The first form of a page: where it goes, and what its fields hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found["action"]
        if tag == "input":
            self.fields[found["name"]] = found.get("value", "")
        if tag == "button":
            self.buttons.append(found["value"])


@dataclass
class Shown:
    """A page in the browser."""

    answer: httpx.Response

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def form(self) -> _Forms:
        return _Forms(self.answer.text)

    @property
    def location(self) -> str:
        return str(self.answer.headers["location"])

    @property
    def sent(self) -> dict[str, str]:
        """What the client gets by the redirect."""
        assert self.status == 303, self.answer.text
        return dict(parse_qsl(urlsplit(self.location).query, keep_blank_values=True))

    @property
    def alert(self) -> str:
        """What went wrong, as the page says it."""
        found = re.search(r'role="alert">([^<]*)<', self.answer.text)
        return found[1] if found else ""


@dataclass
class Browser:
    """`origin`: what it says of the page that a form was on."""

    http: httpx.AsyncClient
    cookies: str = ""
    origin: str | None = BASE

    async def open(self, url: str) -> Shown:
        return Shown(await self.http.get(url, headers={b"cookie": self.cookies.encode()}))

    async def send(self, page: Shown, decision: str = "allow", **typed: str) -> Shown:
        form = page.form
        assert form.action is not None and decision in form.buttons
        fields = {**form.fields, "decision": decision, **typed}
        headers = {b"cookie": self.cookies.encode()}
        if self.origin is not None:
            headers[b"origin"] = self.origin.encode()
        return Shown(await self.http.post(form.action, data=fields, headers=headers))

    async def agree(self, url: str, name: str = "ada", password: str = PASSWORD) -> Shown:
        page = await self.open(url)
        assert page.status == 200, page.answer.text
        return await self.send(page, name=name, password=password)


@dataclass
class Program:
    """A client as it should be; each request of it can be changed."""

    http: httpx.AsyncClient
    client_id: str = DESCRIPTION
    redirect_uri: str = CALLBACK
    resource: str | None = AGENT
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    state: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def challenge(self) -> str:
        return base64.urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()

    def url(self, **changed: str | None) -> str:
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "scope": "agents:execute",
            "resource": self.resource,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **changed,
        }
        return f"/oauth/authorize?{urlencode({name: value for name, value in asked.items() if value is not None})}"

    async def redeem(self, code: str, **changed: str | None) -> httpx.Response:
        return await self.ask(
            grant_type="authorization_code",
            **{
                "code": code,
                "redirect_uri": self.redirect_uri,
                "client_id": self.client_id,
                "code_verifier": self.verifier,
                "resource": self.resource,
                **changed,
            },
        )

    async def refresh(self, refresh_token: str, **changed: str | None) -> httpx.Response:
        said = {"refresh_token": refresh_token, "client_id": self.client_id, "resource": self.resource, **changed}
        return await self.ask(grant_type="refresh_token", **said)

    async def ask(self, path: str = "/oauth/token", /, **fields: str | None) -> httpx.Response:
        return await self.http.post(path, data={name: value for name, value in fields.items() if value is not None})


@dataclass(frozen=True)
class House:
    here: Place
    http: httpx.AsyncClient
    app: App
    egress: FakeEgress
    settings: Settings

    def program(self, **changed: Any) -> Program:
        return Program(self.http, **changed)

    def browser(self, **changed: Any) -> Browser:
        return Browser(self.http, **changed)

    async def code(self, program: Program, name: str = "ada", **changed: str | None) -> str:
        return (await self.browser().agree(program.url(**changed), name)).sent["code"]

    async def tokens(self, program: Program, name: str = "ada", **changed: str | None) -> dict[str, Any]:
        answer = await program.redeem(await self.code(program, name, **changed))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def echo(self, token: str, *, agent: str = "everything", base: str = BASE) -> httpx.Response:
        """A tool call with the handshake's revision, which needs the fewest headers."""
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2025-06-18",
        }
        return await self.http.post(f"{base}/mcp/{agent}", json=message, headers=headers)

    async def me(self, token: str) -> httpx.Response:
        return await self.http.get("/api/v1/users/me", headers={"authorization": f"Bearer {token}"})

    async def sessions(self, name: str = "ada") -> list[dict[str, Any]]:
        """As that person sees them, in a login of its own."""
        token = (await self.here.login(name)).access_token
        answer = await self.http.get("/api/v1/auth/sessions", headers={"authorization": f"Bearer {token}"})
        found: list[dict[str, Any]] = answer.json()["data"]["sessions"]
        return found

    async def acts(self) -> list[tuple[str, str]]:
        return [act for act in await self.here.acts() if act[0].startswith("oauth.")]


@cache
def _specs() -> tuple[Spec, ...]:
    packages = ("functions.oauth.", "functions.auth.", "functions.users.")
    found = (load(name) for name in modules() if name.startswith(packages))
    routes = tuple(spec for spec in found if isinstance(spec.trigger, Http))
    return (*routes, *actions_of("everything"))


@asynccontextmanager
async def house(settings: Settings, answers: Mapping[str, Response | Exception] | None = None) -> AsyncIterator[House]:
    egress = FakeEgress({DESCRIPTION: served(document())} if answers is None else answers)
    app = App(_specs(), settings=settings, overrides={Egress: egress})
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with (
        place(settings) as here,
        app.running(),
        httpx.AsyncClient(transport=transport, base_url=BASE) as client,
    ):
        for name in ("ada", "bob"):
            await here.register(name)
        yield House(here, client, app, egress, settings)


def at(
    settings: Settings,
    scenario: Callable[[House], Awaitable[T]],
    answers: Mapping[str, Response | Exception] | None = None,
) -> T:
    """Plays a scenario in a house, within two minutes."""

    async def play() -> T:
        async with asyncio.timeout(120), house(settings, answers) as there:
            return await scenario(there)

    return asyncio.run(play())
