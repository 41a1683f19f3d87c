"""Plays tests/security/oauth.yaml over the served functions: nobody gets what they were not granted."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
import yaml

from shared.config import Settings
from shared.ports.ui_sessions import UiSessions
from shared.wiring import Ports
from tests.oauth.house import BASE, CALLBACK, DESCRIPTION, House, at, document, served
from tests.people import PASSWORD

CASES = yaml.safe_load(Path(__file__).with_name("oauth.yaml").read_text())["cases"]
MAL = "https://mal.example.net/client.json"
MAL_CALLBACK = "https://mal.example.net/callback"
LIAR, HUGE, MOVED, BIDI = (f"https://{name}.example.net/client.json" for name in ("liar", "huge", "moved", "bidi"))
ANSWERS = {
    DESCRIPTION: served(document()),
    MAL: served(document(MAL, client_name="Mal", redirect_uris=[MAL_CALLBACK])),
    LIAR: served(document()),
    HUGE: served(document(HUGE, padding="x" * 100_000)),
    MOVED: served(b"", status=302, headers={"location": DESCRIPTION}),
    BIDI: served(document(BIDI, client_name="exe.\u202egpj")),
}
TEXTS = {"many": "&".join(f"p{n}=x" for n in range(1100)), "huge": "grant_type=" + "x" * 20_000}

_LIVE = """
SELECT s.id::text || ' ' || u.username FROM live_sessions s JOIN users u ON u.id = s.user_id ORDER BY 1"""


@dataclass
class _Stage:
    house: House
    known: dict[str, str]
    honest: dict[str, dict[str, str]]

    async def play(self, case: Mapping[str, Any]) -> httpx.Response:
        honest = case["honest"]
        method = "GET" if honest == "authorize" else case.get("method", "POST")
        paths = {"authorize": "/oauth/authorize", "decide": "/oauth/authorize"}
        path = self._filled(case.get("path", paths.get(honest, "/oauth/token")))
        changed = {name: self._filled(value) for name, value in (case.get("send") or {}).items()}
        fields = {k: v for k, v in {**self.honest.get(honest, {}), **changed}.items() if v is not None}
        if method == "GET" and fields:
            path = f"{path}?{urlencode(fields)}"
        return await self.house.http.request(method, path, headers=self._headers(case), **self._body(case, fields))

    def _headers(self, case: Mapping[str, Any]) -> dict[str, str]:
        found = {"user-agent": case.get("agent", "test"), **case.get("headers", {})}
        if "text" in case:
            found["content-type"] = "application/x-www-form-urlencoded"
        if "bearer" in case:
            found["authorization"] = f"Bearer {self._filled(case['bearer'])}"
        if "origin" in case:
            found["origin"] = BASE if case["origin"] == "here" else case["origin"]
        if "host" in case:
            found["host"] = case["host"]
        if case["honest"] == "decide" or case.get("cookie") == "ada":
            found["cookie"] = self.known["cookie"]
        return found

    def _body(self, case: Mapping[str, Any], fields: dict[str, str]) -> dict[str, Any]:
        if case["honest"] == "authorize" or case.get("method") == "GET":
            return {}
        if "json" in case:
            return {"json": {name: self._filled(value) for name, value in case["json"].items()}}
        if "text" in case:
            text = TEXTS.get(case["text"], case["text"])
            return {"content": Template(text).safe_substitute(self.known).encode()}
        return {"data": fields}

    def _filled(self, value: Any) -> Any:
        return Template(value).safe_substitute(self.known) if isinstance(value, str) else value

    async def live(self) -> list[str]:
        rows = await self.house.here.database.fetch(_LIVE)
        return [row[0] for row in rows]

    async def codes(self) -> int:
        return int(await self.house.here.database.fetchval("SELECT count(*) FROM oauth_codes"))


async def _stage(house: House) -> _Stage:
    program = house.program()
    mal = house.program(client_id=MAL, redirect_uri=MAL_CALLBACK)
    tokens = await house.tokens(program)
    other = await house.tokens(house.program(resource=f"{BASE}/mcp/filesystem"))
    login = await house.here.login("ada")
    caller = await house.here.caller(login.access_token)
    async with Ports(house.settings) as ports:
        ui_sessions = await ports.open(UiSessions)
        handle, _ = await ui_sessions.open(await ui_sessions.offer(caller.user_id, caller.session_id))
    browser = house.browser()
    shown, mal_shown = await browser.open(program.url()), await browser.open(mal.url())
    code, mal_code = await house.code(program), await house.code(mal, "bob")
    known = {
        "ada": str(caller.user_id),
        "client": DESCRIPTION,
        "mal": MAL,
        "callback": CALLBACK,
        "password": PASSWORD,
        "code": code,
        "mal_code": mal_code,
        "access": tokens["access_token"],
        "refresh": tokens["refresh_token"],
        "other_access": other["access_token"],
        "login": login.access_token,
        "login_refresh": login.refresh_token,
        "verifier": program.verifier,
        "challenge": program.challenge,
        "mal_verifier": mal.verifier,
        "mal_challenge": mal.challenge,
        "mal_seal": mal_shown.form.fields["seal"],
        "handle": handle,
        "cookie": f"sutazai_ui={handle}",
    }
    shared = {"client_id": DESCRIPTION, "resource": f"{BASE}/mcp/everything"}
    redeeming = {"code": code, "redirect_uri": CALLBACK, "code_verifier": program.verifier}
    honest = {
        "authorize": dict(parse_qsl(urlsplit(program.url()).query)),
        "decide": {**shown.form.fields, "decision": "allow", "name": "ada", "password": PASSWORD},
        "token": {"grant_type": "authorization_code", **shared, **redeeming},
        "refresh": {"grant_type": "refresh_token", **shared, "refresh_token": tokens["refresh_token"]},
    }
    return _Stage(house, known, honest)


def _check_answer(case: Mapping[str, Any], answer: httpx.Response, known: Mapping[str, str]) -> None:
    assert answer.status_code == case["status"], answer.text
    assert "location" not in answer.headers
    if "error" in case:
        assert answer.json().keys() == {"error", "error_description"} and answer.json()["error"] == case["error"]
        # RFC 6749, 5.2 has no quotes and nothing beyond ASCII there.
        assert re.fullmatch(r"[ !#-\[\]-~]*", answer.json()["error_description"])
    if answer.headers["content-type"].startswith("text/html"):
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
    for secret in ("code", "access", "refresh", "login", "login_refresh", "verifier", "password", "handle"):
        assert known[secret] not in answer.text, secret
    assert case.get("shows", "") in answer.text
    assert "hides" not in case or case["hides"] not in answer.text


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_oauth(settings: Settings, case: dict[str, Any]) -> None:
    async def scenario(house: House) -> None:
        stage = await _stage(house)
        before = await stage.live()
        first: list[str] = []
        if "first" in case:
            await stage.play(case["first"])
            first = [one for one in await stage.live() if one not in before]
        codes, acts = await stage.codes(), await house.acts()
        answer = await stage.play(case)
        _check_answer(case, answer, stage.known)
        assert await stage.codes() == codes
        lines = [f"{action} {outcome}" for action, outcome in (await house.acts())[len(acts) :]]
        assert lines == case.get("audit", [])
        after = await stage.live()
        ended = {"first": first, "ada": [one for one in before if one not in after]}.get(case.get("ends", ""), [])
        assert len(ended) == (1 if "ends" in case else 0)
        assert after == sorted({*before, *first} - set(ended))

    at(replace(settings, ui_origins=frozenset()), scenario, ANSWERS)


def test_what_the_cases_start_from_works(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        stage = await _stage(house)
        for honest in ("token", "refresh"):
            assert (await stage.play({"honest": honest})).status_code == 200
        assert (await stage.play({"honest": "authorize"})).status_code == 200
        decided = await stage.play({"honest": "decide", "origin": "here"})
        assert decided.status_code == 303 and decided.headers["location"].startswith(f"{CALLBACK}?code=")

    at(settings, scenario, ANSWERS)


def test_there_are_at_least_eighty_cases() -> None:
    assert len(CASES) >= 80
