"""`make up`: the whole platform on one machine."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from shared.config import Settings, whole_number
from shared.crypto import ui_key, vectors_key
from shared.errors import ConfigurationError
from shared.local.admin import ensure_admin
from shared.local.lock import HomeInUse, PortTaken, ended_by_signals, locked, pick_port, stop_holder, write_json
from shared.local.postgres import postgres_service, postgres_url
from shared.local.supervisor import Service, ServiceFailed, Supervisor
from shared.local.ui import ui_origins, ui_service
from shared.local.valkey import valkey_service, valkey_url
from shared.local.vectors import vectors_service
from shared.ports.bus import Bus
from shared.ports.passwords import Passwords
from shared.ports.tasks import Queue
from shared.ports.users import Users
from shared.stores.postgres.migrate import migrate
from shared.wiring import Ports

API_PORT = 10008
UI_PORT = 11000
MCP_PORT = 11100


def main() -> int:
    """Runs until Ctrl-C, SIGTERM or `make down`. Returns the exit status."""
    home = Settings.read().home
    try:
        asyncio.run(_run(home))
    except (ConfigurationError, HomeInUse, PortTaken, ServiceFailed) as exc:
        print(f"sutazai: {exc}", file=sys.stderr)
        return 1
    return 0


def down() -> int:
    home = Settings.read().home
    try:
        stopped = asyncio.run(stop_holder(home))
    except HomeInUse as exc:
        print(f"sutazai: {exc}", file=sys.stderr)
        return 1
    _say("stopped" if stopped else "nothing was running")
    return 0


def _say(line: str) -> None:
    print(line, flush=True)


async def _run(home: Path) -> None:
    began = time.monotonic()
    with ended_by_signals():
        async with locked(home), Supervisor(home, say=_say) as supervisor:
            (home / "run" / "urls.json").unlink(missing_ok=True)
            environ = await _stores(home, supervisor)
            await _prepare(Settings.read(environ), environ)
            vectors_port = await _vectors_port(home, environ)
            port = await pick_port(home, "api", _asked_port("SUTAZAI_API_PORT", API_PORT))
            ui_port = await pick_port(home, "ui", _asked_port("SUTAZAI_UI_PORT", UI_PORT))
            mcp_port = await _mcp_port(home)
            api, ui = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}"
            await _functions(home, supervisor, environ, port, ui_port, mcp_port)
            urls = {"api": api, "ui": ui, "mcp": f"{api}/mcp", "ws": f"ws://127.0.0.1:{port}/ws"}
            write_json(home / "run" / "urls.json", urls)
            ready_s = time.monotonic() - began
            _say(f"SutazAI is ready after {ready_s:.1f} s: {ui}, API: {api}/api/v1/docs (Ctrl-C stops it)")
            if vectors_port:
                # Last, so that what people wait for has the machine to itself.
                await supervisor.start(vectors_service(environ, port=vectors_port))
            await asyncio.Event().wait()
    with suppress(FileNotFoundError):
        (home / "run" / "urls.json").unlink()


async def _mcp_port(home: Path) -> int | None:
    """A second one for clients of MCP, done without where somebody else has it and nobody has asked for it."""
    try:
        return await pick_port(home, "mcp", _asked_port("SUTAZAI_MCP_PORT", MCP_PORT))
    except PortTaken:
        if "SUTAZAI_MCP_PORT" in os.environ:
            raise
        _say(f"port {MCP_PORT} is taken: MCP is answered at the API's port alone")
        return None


async def _vectors_port(home: Path, environ: dict[str, str]) -> int | None:
    """None where somebody else runs the vector service; else those who ask it are told where it will be."""
    if environ.get("SUTAZAI_VECTORS_URL"):
        return None
    port = await pick_port(home, "vectors")
    environ["SUTAZAI_VECTORS_URL"] = f"http://127.0.0.1:{port}"
    return port


def _asked_port(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdigit() or int(text) > 65535:
        raise ConfigurationError(f"{name} is no port: {text!r}")
    return int(text)


async def _stores(home: Path, supervisor: Supervisor) -> dict[str, str]:
    """Starts the servers that nobody has named, and returns the environment for those who use them."""
    environ = {**os.environ, "SUTAZAI_HOME": str(home)}
    asked = Settings.read()
    if not asked.postgres_url:
        await supervisor.start(await postgres_service(home, say=_say))
        environ["SUTAZAI_POSTGRES_URL_FILE"] = str(_secret_file(home, "postgres.url", postgres_url(home)))
    if not asked.redis_url:
        await supervisor.start(await valkey_service(home, say=_say))
        environ["SUTAZAI_REDIS_URL_FILE"] = str(_secret_file(home, "redis.url", valkey_url(home)))
    return environ


def _secret_file(home: Path, name: str, text: str) -> Path:
    """Passwords reach processes by files: an environment can be read from outside."""
    path = home / "keys" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path


async def _prepare(settings: Settings, environ: Mapping[str, str]) -> None:
    for name in await migrate(settings.postgres_url):
        _say(f"applied migration {name}")
    async with Ports(settings) as ports:
        # Where there is a broker, its exchanges and queues are made now, or the start refused.
        await ports.open(Bus)
        queue = await ports.open(Queue)
        # Whoever held the state folder before is dead, since the lock is ours: so are its workers.
        await queue.bury(_place())
        email = environ.get("SUTAZAI_ADMIN_EMAIL") or "admin@sutazai.local"
        users, passwords = await ports.open(Users), await ports.open(Passwords)
        if made := await ensure_admin(users, passwords, email, environ.get("SUTAZAI_ADMIN_PASSWORD")):
            _say(f"administrator: {made[0]}  password: {made[1]}  (shown this once)")


def _place() -> str:
    """Prefix of this machine's worker slots; state folders on one machine have databases of their own."""
    return socket.gethostname()


async def _functions(
    home: Path, supervisor: Supervisor, environ: Mapping[str, str], port: int, ui_port: int, mcp_port: int | None
) -> None:
    mcp = () if mcp_port is None else ("--mcp-port", str(mcp_port))
    gateway = Service(
        name="gateway",
        role="gateway",
        argv=(sys.executable, "-m", "functions", "gateway", "--port", str(port), *mcp),
        ready=lambda: _answers(port, "/health/ready"),
        env={**environ, "SUTAZAI_UI_ORIGINS": ui_origins(ui_port, environ)},
        stop_timeout_s=15,
    )
    keys = Settings.read(environ).keys_dir
    ui_key(keys)
    # Actions that run confined read it, and can make none.
    vectors_key(keys)
    ui = ui_service(
        environ,
        port=ui_port,
        api=f"http://127.0.0.1:{port}",
        key=keys / "ui.key",
        ready=lambda: _answers(ui_port, "/_stcore/health"),
    )
    workers = [_worker(home, number, environ) for number in range(_worker_count(environ))]
    try:
        async with asyncio.TaskGroup() as group:
            for service in (gateway, *workers, ui):
                group.create_task(supervisor.start(service))
    except ExceptionGroup as failures:
        # One reason is enough to mend; mostly they share it.
        raise failures.exceptions[0] from None


def _worker_count(environ: Mapping[str, str]) -> int:
    return whole_number(environ, "SUTAZAI_WORKERS", min(max(os.cpu_count() or 1, 2), 4), least=1)


def _worker(home: Path, number: int, environ: Mapping[str, str]) -> Service:
    ready = home / "run" / f"worker-{number}.ready"

    async def is_ready() -> bool:
        return ready.exists()

    return Service(
        name=f"worker-{number}",
        role="worker",
        argv=(sys.executable, "-m", "functions", "worker", "--ready", str(ready)),
        ready=is_ready,
        env={**environ, "SUTAZAI_WORKER_SLOT": f"{_place()}/{number}"},
        stop_timeout_s=30,
        before_start=lambda: ready.unlink(missing_ok=True),
    )


async def _answers(port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return (await reader.readline()).split(b" ")[1:2] == [b"200"]
    finally:
        writer.close()
