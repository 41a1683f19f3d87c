"""The official Python client, which is given no token: it follows the refusal to where it gets one."""

import asyncio
import json
import tempfile
from pathlib import Path

import httpx
import httpx2
import pytest
from mcp.client.auth import OAuthFlowError

from shared.config import Settings
from tests.oauth.house import AGENT, BASE, DESCRIPTION, House, at, document, served
from tests.oauth.official import Desk, Kept, Mode, echoed, provider
from tests.people import within_a_second
from tests.system.platform import Client, Platform

VERSIONS: dict[Mode, str] = {"auto": "2026-07-28", "legacy": "2025-11-25", "2026-07-28": "2026-07-28"}


@pytest.mark.parametrize("mode", VERSIONS)
@pytest.mark.parametrize("described", [DESCRIPTION, None], ids=["described at a URL", "registered"])
def test_it_is_let_in_calls_a_tool_and_is_not_asked_again(
    settings: Settings, mode: Mode, described: str | None
) -> None:
    async def scenario(house: House) -> None:
        transport, desk, kept = httpx2.ASGITransport(app=house.app), Desk(house.http, BASE), Kept()
        for _ in range(2):
            auth = provider(AGENT, desk, kept, client_metadata_url=described)
            assert await echoed(AGENT, auth, mode=mode, transport=transport) == (VERSIONS[mode], "Echo: hello")
        assert desk.seen == 1 and kept.client is not None and kept.tokens is not None
        assert kept.tokens.scope == "agents:execute" and kept.tokens.refresh_token is not None
        assert (kept.client.client_id == DESCRIPTION) == (described is not None)
        name = "Example (app.example.org)" if described else "Official (127.0.0.1:3000)"
        assert name in {session["client"] for session in await house.sessions()}

    at(settings, scenario, {DESCRIPTION: served(document())})


def test_it_refreshes_by_itself_and_asks_again_once_its_session_was_ended(settings: Settings) -> None:
    async def scenario(house: House) -> None:
        transport, desk, kept = httpx2.ASGITransport(app=house.app), Desk(house.http, BASE), Kept()
        auth = provider(AGENT, desk, kept)
        await echoed(AGENT, auth, mode="auto", transport=transport)
        first = kept.tokens
        auth.context.token_expiry_time = 1.0
        await echoed(AGENT, auth, mode="auto", transport=transport)
        assert first is not None and kept.tokens is not None and desk.seen == 1
        assert kept.tokens.refresh_token != first.refresh_token
        token = kept.tokens.access_token
        await house.here.database.execute("UPDATE sessions SET revoked_at = now()")

        async def out() -> bool:
            return (await house.echo(token)).status_code == 401

        await within_a_second(out)
        await echoed(AGENT, auth, mode="auto", transport=transport)
        assert desk.seen == 2

    at(settings, scenario)


def test_it_would_not_take_an_answer_of_another_issuer(settings: Settings) -> None:
    class MixedUp(Desk):
        async def sign_in(self, url: str) -> None:
            await super().sign_in(url)
            self.sent["iss"] = "https://evil.example"

    async def scenario(house: House) -> None:
        transport, desk = httpx2.ASGITransport(app=house.app), MixedUp(house.http, BASE)
        with pytest.raises((OAuthFlowError, ExceptionGroup)) as raised:
            await echoed(AGENT, provider(AGENT, desk, Kept()), mode="legacy", transport=transport)
        assert "iss mismatch: https://evil.example" in repr(raised.value)
        assert await house.acts() == [("oauth.decide_consent", "done")]

    at(settings, scenario)


async def _play(platform: Platform) -> None:
    server = f"{platform.api}/mcp/everything"
    async with (
        Client(platform.api, "ada") as ada,
        httpx.AsyncClient(base_url=platform.api, timeout=30, trust_env=False) as nobody,
    ):
        for mode, version in VERSIONS.items():
            desk, kept = Desk(nobody, platform.api), Kept()
            assert await echoed(server, provider(server, desk, kept), mode=mode) == (version, "Echo: hello")
            assert desk.seen == 1 and kept.tokens is not None
            bearer = {"authorization": f"Bearer {kept.tokens.access_token}"}
            assert (await nobody.get("/api/v1/users/me", headers=bearer)).status_code == 401
            other = await nobody.post("/mcp/filesystem", json={}, headers=bearer)
            assert other.status_code == 401 and "/mcp/filesystem" in other.headers["www-authenticate"]
        sessions = (await ada.http.get("/api/v1/auth/sessions")).json()["data"]["sessions"]
        assert [one["client"] for one in sessions].count("Official (127.0.0.1:3000)") == len(VERSIONS)
        tasks = (await ada.http.get("/api/v1/tasks")).json()["data"]["tasks"]
        assert [(task["task"], task["status"]) for task in tasks] == [("echo", "succeeded")] * len(VERSIONS)
        outsider = await nobody.get("/oauth/authorize?client_id=https://127.0.0.1:8443/c.json&redirect_uri=x")
        assert outsider.status_code == 400 and "cannot be fetched" in outsider.text


def test_it_is_let_in_to_the_whole_platform() -> None:
    with tempfile.TemporaryDirectory(prefix="sutazai-oauth-") as folder:
        Path(folder).chmod(0o711)
        with Platform(Path(folder) / "home") as platform:
            assert json.loads((platform.home / "run" / "urls.json").read_text())["api"] == platform.api
            asyncio.run(_play(platform))
