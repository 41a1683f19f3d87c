"""ContextForge, a gateway before MCP servers, set up for production: PostgreSQL and Redis, no interface, no plugins.

Its sessions are on, as in its own compose file: without them it opens a session upstream for every call, at twice the
price. gunicorn's one worker runs uvicorn on uvloop and httptools; metrics are recorded, its default.
"""

import hashlib
import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tests.bench._hosts import REPOSITORY, Host, Running

LOCK = REPOSITORY / "requirements-rivals.lock"
NAME = "contextforge"
ROUNDS = 3
# More would wait for its pool of 30 connections to PostgreSQL; it answers some tens of calls a second.
SESSIONS = 8
CALLS, WARM_CALLS = 80, 40
_VERSION = "2025-11-25"
_ADMIN = "admin@example.com"
_HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
_GUNICORN = (
    *("--worker-class", "uvicorn.workers.UvicornWorker", "--workers", "1", "--timeout", "600"),
    *("--max-requests", "1000000", "--log-level", "error", "--access-logfile", "/dev/null"),
    *("--no-control-socket", "--bind", "127.0.0.1:{port}", "mcpgateway.main:app"),
)
# From its tuning guide and its compose file. The upstream is on this machine, and the limits of rate would end the run.
_SETTINGS = {
    "ENVIRONMENT": "production",
    "APP_DOMAIN": "http://127.0.0.1",
    "CACHE_TYPE": "redis",
    "REDIS_PARSER": "hiredis",
    "DB_POOL_CLASS": "queue",
    "DB_POOL_SIZE": "20",
    "DB_MAX_OVERFLOW": "10",
    "USE_STATEFUL_SESSIONS": "true",
    "AUTH_REQUIRED": "true",
    "MCP_CLIENT_AUTH_ENABLED": "true",
    "PLATFORM_ADMIN_EMAIL": _ADMIN,
    "MCPGATEWAY_UI_ENABLED": "false",
    "MCPGATEWAY_ADMIN_API_ENABLED": "false",
    "MCPGATEWAY_CATALOG_ENABLED": "false",
    "LLMCHAT_ENABLED": "false",
    "PLUGINS_ENABLED": "false",
    "LOG_LEVEL": "ERROR",
    "DISABLE_ACCESS_LOG": "true",
    "STRUCTURED_LOGGING_DATABASE_ENABLED": "false",
    "CORRELATION_ID_ENABLED": "false",
    "COMPRESSION_ENABLED": "false",
    "AUTH_CACHE_USER_TTL": "300",
    "AUTH_CACHE_REVOCATION_TTL": "120",
    "AUTH_CACHE_TEAM_TTL": "300",
    "AUTH_CACHE_ROLE_TTL": "300",
    "AUTH_CACHE_TEAMS_TTL": "300",
    "REGISTRY_CACHE_TOOLS_TTL": "300",
    "REGISTRY_CACHE_SERVERS_TTL": "300",
    "REGISTRY_CACHE_GATEWAYS_TTL": "300",
    "HTTPX_MAX_CONNECTIONS": "500",
    "HTTPX_MAX_KEEPALIVE_CONNECTIONS": "300",
    "TOOL_RATE_LIMIT": "60000",
    "TOOL_CONCURRENT_LIMIT": "1000",
    "RATE_LIMITING_ENABLED": "false",
    "SSRF_ALLOW_LOCALHOST": "true",
    "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
}


def installed() -> Path:
    """Its environment's folder of programs, made once per lock. Raises RuntimeError when installing fails."""
    stamp = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "sutazai" / f"rivals-{stamp}-{sys.version_info[0]}.{sys.version_info[1]}"
    # Written last, so that an environment cut short is made anew.
    whole = folder / ".whole"
    if not whole.exists():
        print(f"installing {LOCK.name} into {str(folder)!r}, once", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(LOCK))
        _run("installing", sys.executable, "-m", "venv", str(folder))
        _run("installing", str(folder / "bin" / "python"), *pip)
        whole.touch()
    return folder / "bin"


def _run(doing: str, *command: str, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environ or {})}, check=False)
    if done.returncode:
        otherwise = f"`make bench B='mcp --without {NAME}'` runs without it"
        raise RuntimeError(f"{doing} ContextForge failed; {otherwise}:\n{done.stderr[-2000:]}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Gateway:
    """One that runs, with a session for each connection."""

    running: Running
    upstream: Running
    requests: Sequence[bytes]

    async def calls_cpu_s(self, count: int) -> tuple[float, float]:
        """CPU seconds per call: its own, and with the upstream's."""
        before = self.upstream.cpu_s()
        own = await self.running.requests_cpu_s(count, connections=SESSIONS, requests=self.requests)
        return own, own + (self.upstream.cpu_s() - before) / count


async def create_database(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"CREATE DATABASE {NAME}")
    finally:
        await connection.close()


@contextmanager
def serving(programs: Path, upstream: Host, postgres_url: str, redis_url: str) -> Iterator[Gateway]:
    """A gateway before this server, which it knows as a virtual server with its one tool."""
    environ = {
        **_SETTINGS,
        "DATABASE_URL": urlsplit(postgres_url)._replace(scheme="postgresql+psycopg", path=f"/{NAME}").geturl(),
        "REDIS_URL": urlsplit(redis_url)._replace(path="/1").geturl(),
        "JWT_SECRET_KEY": secrets.token_urlsafe(32),
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(32),
        "PLATFORM_ADMIN_PASSWORD": f"Aa1-{secrets.token_urlsafe(16)}",
        "DEFAULT_USER_PASSWORD": f"Aa1-{secrets.token_urlsafe(16)}",
    }
    with tempfile.TemporaryDirectory() as folder:
        command = (str(programs / "gunicorn"), "--chdir", folder, *_GUNICORN)
        # It migrates its own database first.
        host = Host(NAME, command, _HEALTH, environ=environ, start_s=120)
        with Running(upstream) as behind, Running(host) as running:
            behind.first_answer()
            running.first_answer()
            signing = ("-m", "mcpgateway.utils.create_jwt_token", "--username", _ADMIN, "--exp", "60")
            secret = ("--secret", environ["JWT_SECRET_KEY"])
            bearer = _run("a token of", str(programs / "python"), *signing, *secret, environ=environ)
            yield Gateway(running, behind, _Peer(running.port, bearer).requests(behind.port))


class _Peer:
    """Its API, asked once in the beginning."""

    def __init__(self, port: int, bearer: str) -> None:
        self._port = port
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {bearer}",
        }

    def requests(self, upstream_port: int) -> list[bytes]:
        """tools/call for each session."""
        address = f"http://127.0.0.1:{upstream_port}/mcp/everything"
        self._ask("POST", "/gateways", {"name": "bench", "url": address, "transport": "STREAMABLEHTTP"})
        [tool] = self._ask("GET", "/tools")[0]
        server = {"name": "everything", "associated_tools": [tool["id"]]}
        path = f"/servers/{self._ask('POST', '/servers', {'server': server})[0]['id']}/mcp/"
        return [self._call(path, tool["name"], self._session(path)) for _ in range(SESSIONS)]

    def _session(self, path: str) -> str:
        client = {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        _, session = self._ask("POST", path, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client})
        assert session is not None
        self._ask("POST", path, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session)
        return session

    def _call(self, path: str, tool: str, session: str) -> bytes:
        params = {"name": tool, "arguments": {"message": "hello"}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {**self._with(session), "Host": f"127.0.0.1:{self._port}", "Content-Length": str(len(body))}
        lines = (f"{name}: {value}" for name, value in headers.items())
        return "\r\n".join((f"POST {path} HTTP/1.1", *lines, "", body)).encode()

    def _with(self, session: str) -> dict[str, str]:
        return {**self._headers, "Mcp-Session-Id": session, "MCP-Protocol-Version": _VERSION}

    def _ask(self, method: str, path: str, body: object = None, session: str | None = None) -> tuple[Any, str | None]:
        """JSON and the session it names. Raises RuntimeError when it refuses."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            headers = self._with(session) if session else self._headers
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{NAME} answered {method} {path!r} with {answer.status}: {said[:2000]!r}")
        return json.loads(said or b"null"), answer.getheader("Mcp-Session-Id")
