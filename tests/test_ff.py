"""Every function that answers requests answers them behind functions-framework too."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import shared.serve
from shared.catalog import all_functions, find
from shared.config import Settings
from shared.function import Every, Http, OnEvent, Service, Spec, Tool, WebSocket
from tests.engine import free_port

ROOT = Path(__file__).resolve().parent.parent
DOOR = ROOT / "shared" / "ff.py"
SPECS = all_functions()
LONG_RUNNING = [spec.name for spec in SPECS if isinstance(spec.trigger, Service | Every | WebSocket)]
TOOLS = [spec for spec in SPECS if isinstance(spec.trigger, Tool)]
OTHERS = [spec for spec in SPECS if isinstance(spec.trigger, Http | OnEvent)]
UUID = "00000000-0000-4000-8000-000000000000"
# The record is away: whatever needs it says so.
NO_STORES = {
    "SUTAZAI_POSTGRES_URL": "postgresql://nobody@127.0.0.1:1/none",
    "SUTAZAI_REDIS_URL": "redis://127.0.0.1:1",
}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await scenario()

    asyncio.run(bounded())


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**NO_STORES, "SUTAZAI_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def _door(name: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A client of what functions-framework makes of one target; it never closes the app, so we do."""
    from functions_framework.aio import create_asgi_app

    made: list[shared.serve.App] = []

    class Kept(shared.serve.App):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(shared.serve, "App", Kept)
        app = create_asgi_app(name, str(DOOR))
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
                yield client
        finally:
            for one in made:
                await one.close()


async def _asked(spec: Spec, client: httpx.AsyncClient) -> httpx.Response:
    if isinstance(spec.trigger, Http):
        path = re.sub(r"\{\w+\}", UUID, spec.http.path.replace("{agent_id}", "everything"))
        return await client.request(spec.http.method, path, json={} if spec.http.method != "GET" else None)
    path = f"/{spec.tool.name}" if isinstance(spec.trigger, Tool) else "/"
    return await client.post(path, json={})


def _sane(spec: Spec) -> tuple[int, ...]:
    if isinstance(spec.trigger, OnEvent):
        return (400,)
    if isinstance(spec.trigger, Tool) or spec.http.scope is not None:
        return (401,)
    if spec.http.oauth:
        return (200, 400)
    # Without a scope, it may be the page or a secret that is refused.
    return (400, 401) if spec.payload is not None else (200, 503)


async def _answers(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    async with _door(spec.name, monkeypatch) as client:
        nowhere = await client.get("/no/such/path")
        assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "NOT_FOUND")
        answer = await _asked(spec, client)
        assert answer.status_code in _sane(spec), (spec.name, answer.text)
        if answer.status_code in (400, 401) and not (isinstance(spec.trigger, Http) and spec.http.oauth):
            assert answer.json()["success"] is False
        assert (await client.get("/health/live")).json() == {"status": "ok"}


@pytest.mark.parametrize("spec", OTHERS, ids=lambda spec: spec.deployed)
@pytest.mark.usefixtures("alone")
def test_an_endpoint_or_a_consumer_answers_behind_the_door(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    run(lambda: _answers(spec, monkeypatch))


def test_every_action_answers_behind_the_door(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_HOME", str(settings.home))
    monkeypatch.setenv("SUTAZAI_POSTGRES_URL", settings.postgres_url)
    monkeypatch.setenv("SUTAZAI_REDIS_URL", settings.redis_url)

    async def scenario() -> None:
        for spec in TOOLS:
            await _answers(spec, monkeypatch)

    run(scenario)


@pytest.mark.usefixtures("alone")
def test_a_percent_encoded_slash_stays_in_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with _door("get_task", monkeypatch) as client:
            assert (await client.get("/api/v1/tasks/a%2Fb")).status_code == 401
            assert (await client.get("/api/v1/tasks/a/b")).status_code == 404

    run(scenario)


@pytest.mark.usefixtures("alone")
def test_a_probe_opens_what_no_lifespan_has_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with _door("get_jwks", monkeypatch) as client:
            assert (await client.get("/health/ready")).status_code == 200
        async with _door("echo", monkeypatch) as client:
            away = await client.get("/health/ready")
            assert (away.status_code, away.headers["retry-after"]) == (503, "1")

    run(scenario)


@pytest.mark.parametrize("name", [*LONG_RUNNING, "no_such_function", "_private"])
def test_what_answers_no_requests_is_no_target(name: str) -> None:
    from functions_framework.aio import create_asgi_app
    from functions_framework.exceptions import MissingTargetException

    with pytest.raises(MissingTargetException):
        create_asgi_app(name, str(DOOR))


@asynccontextmanager
async def _command(name: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    port = free_port()
    arguments = (
        "--source",
        str(DOOR),
        "--target",
        name,
        "--asgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    )
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("functions-framework")),
        *arguments,
        env={**os.environ, **NO_STORES, "SUTAZAI_HOME": str(home), "GUNICORN_LOG_LEVEL": "info"},
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        said = b""
        while b"Listening at" not in said:
            line = await process.stdout.readline()
            assert line, said.decode()
            said += line
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize(
    "name", ["get_info", "execute_task", "cancel_tasks_of_disabled_user"], ids=["open", "scoped", "event"]
)
def test_the_real_command_serves_a_function(name: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with _command(name, tmp_path) as client:
            spec = find(name)
            answer = await _asked(spec, client)
            assert answer.status_code in _sane(spec), answer.text
            assert answer.headers["x-request-id"]

    run(scenario)
