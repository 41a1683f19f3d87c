"""The public servers themselves, installed once for each lock file and outside the tree; and ours beside them."""

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import httpx2
import pytest
from mcp import Client, ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from shared.config import Settings
from tests.mcp.served import Served, serving

_HERE = Path(__file__).parent
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error")
_PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")


@dataclass(frozen=True)
class Said:
    """A call's answer: its text, whether it was an error, and its data where it had some."""

    text: str
    is_error: bool = False
    data: Any = None


class Call(Protocol):
    async def __call__(self, tool: str, /, **arguments: Any) -> Said: ...


def needs(command: str) -> None:
    """Skips, or fails where the run is to be a whole one, without the command."""
    if shutil.which(command) is None:
        _without(f"{command} is not installed")


def _without(what: str) -> NoReturn:
    if os.environ.get("SUTAZAI_REQUIRE_REAL") == "1":
        pytest.fail(what)
    pytest.skip(what)


def from_npm(script: str) -> tuple[str, ...]:
    """The command of a server, by the path of its script in node_modules."""
    for command in ("npm", "node"):
        needs(command)

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_HERE / "npm" / name, folder)
        subprocess.run(_NPM, cwd=folder, check=True, timeout=300)

    folder = _installed((_HERE / "npm" / "package-lock.json").read_bytes(), install)
    return "node", str(folder / "node_modules" / script)


def from_pypi(requirements: str, module: str, function: str) -> tuple[str, ...]:
    """The command of a server, by its entry point; what it needs beside itself is what the tests run with."""
    listed = _HERE / "pypi" / f"{requirements}.txt"

    def install(folder: Path) -> None:
        command = (*_PIP, "--require-hashes", "--target", str(folder), "--requirement", str(listed))
        subprocess.run(command, check=True, timeout=300)

    folder = _installed(listed.read_bytes(), install)
    started = f"import sys; sys.path.insert(0, {str(folder)!r}); from {module} import {function}; {function}()"
    return sys.executable, "-c", started


def _installed(lock: bytes, install: Callable[[Path], None]) -> Path:
    """Where it is installed, by whichever process came first."""
    name = f"sutazai-original-{os.getuid()}-{hashlib.sha256(lock).hexdigest()[:16]}"
    folder = Path(tempfile.gettempdir()) / name
    if not folder.exists():
        with tempfile.TemporaryDirectory(prefix=f"{name}-") as made:
            whole = Path(made) / "whole"
            whole.mkdir()
            try:
                install(whole)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
                _without(f"an original cannot be installed: {failure}")
            try:
                whole.rename(folder)
            except OSError:
                # Somebody else was quicker.
                assert folder.exists()
    return folder


@asynccontextmanager
async def original(
    command: tuple[str, ...], environ: Mapping[str, str], log: Path
) -> AsyncIterator[tuple[ClientSession, Call]]:
    """A server of its own, which ends with the context; what it says beside its answers goes to `log`."""
    parameters = StdioServerParameters(command=command[0], args=list(command[1:]), env={**os.environ, **environ})
    with log.open("w") as errors:
        async with stdio_client(parameters, errlog=errors) as streams, ClientSession(*streams) as session:
            await session.initialize()

            async def call(tool: str, /, **arguments: Any) -> Said:
                result = await session.call_tool(tool, arguments)
                assert isinstance(result, CallToolResult)
                return _said(result)

            yield session, call


@asynccontextmanager
async def ours(settings: Settings, agent: str) -> AsyncIterator[tuple[Client, Call]]:
    """Our agent for a new user, through the same client."""
    async with (
        serving(settings, agent) as served,
        _http(served) as http,
        Client(streamable_http_client(served.url, http_client=http)) as client,
    ):

        async def call(tool: str, /, **arguments: Any) -> Said:
            return _said(await client.call_tool(tool, arguments))

        yield client, call


def _http(served: Served) -> httpx2.AsyncClient:
    bearer = {"authorization": f"Bearer {served.token}"}
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=served.app), headers=bearer)


def _said(result: CallToolResult) -> Said:
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    return Said(text, bool(result.is_error), result.structured_content)


@asynccontextmanager
async def _both(
    settings: Settings, agent: str, command: tuple[str, ...], environ: Mapping[str, str]
) -> AsyncIterator[tuple[tuple[ClientSession, Call], tuple[Client, Call]]]:
    async with (
        asyncio.timeout(20),
        original(command, environ, settings.home / "original.log") as theirs,
        ours(settings, agent) as mine,
    ):
        yield theirs, mine


def side_by_side(
    settings: Settings,
    agent: str,
    command: tuple[str, ...],
    environ: Mapping[str, str],
    scenario: Callable[[Call, Call], Awaitable[None]],
) -> None:
    """Plays a scenario with (the original, ours), within the 20 s that it may take."""

    async def play() -> Exception | None:
        async with _both(settings, agent, command, environ) as ((_, theirs), (_, mine)):
            try:
                await scenario(theirs, mine)
            except Exception as failure:
                # On its way out it would be wrapped again and again.
                return failure
        return None

    if failure := asyncio.run(play()):
        raise failure


def tools_of(
    settings: Settings, agent: str, command: tuple[str, ...], environ: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The input schemas by tool, of (the original, ours)."""

    async def listed() -> tuple[dict[str, Any], dict[str, Any]]:
        async with _both(settings, agent, command, environ) as ((session, _), (client, _)):
            theirs, mine = (await session.list_tools()).tools, (await client.list_tools()).tools
        return {tool.name: tool.input_schema for tool in theirs}, {tool.name: tool.input_schema for tool in mine}

    return asyncio.run(listed())
