"""The platform with each of its roles as a process of its own, on real servers, for those who break them."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from shared.config import Settings
from shared.local.lock import pick_port
from shared.local.postgres import postgres_service, postgres_url
from shared.local.supervisor import Service, Supervisor
from shared.local.valkey import valkey_service, valkey_url
from shared.ports.passwords import Passwords
from shared.ports.tasks import Queue, Tasks
from shared.ports.tokens import Tokens
from shared.stores.postgres.migrate import migrate
from shared.wiring import Ports
from tests.rabbitmq import RabbitMQ

START_S = 120.0
# What a connection tells of a server that is killed; between two of its words the driver calls it a fault of its own.
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_POLL_S = 0.05


@dataclass(frozen=True)
class Urls:
    """Where processes are told to find the servers; no broker: events travel by the record."""

    postgres: str
    redis: str
    amqp: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`environ`: for all of them; `only`: for one role; `prefix`: what a role's process is started by."""

    workers: int = 2
    gateways: int = 1
    broker: bool = True
    # An agent's function over HTTP, and the connector that feeds it, beside workers that hear wake-ups themselves.
    functions: bool = True
    environ: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prefix: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # What stands for `python -m functions` in a role, or in one process by its name.
    instead: Mapping[str, Sequence[str]] = field(default_factory=dict)


@asynccontextmanager
async def recorded(url: Callable[[], str], *, within_s: float = 60) -> AsyncIterator[Any]:
    """A connection of ours, which waits for a server that is starting."""
    until = time.monotonic() + within_s
    while True:
        try:
            connection = await asyncpg.connect(url(), timeout=5, server_settings={"search_path": "sutazai"})
            break
        except AWAY:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_POLL_S)
    try:
        yield connection
    finally:
        connection.terminate()


Through = Callable[[Urls], AbstractAsyncContextManager[Urls]]


@asynccontextmanager
async def directly(urls: Urls) -> AsyncIterator[Urls]:
    yield urls


class Cluster:
    """What runs, and what may be done to it."""

    def __init__(self, home: Path, shape: Shape, supervisor: Supervisor, broker: RabbitMQ | None) -> None:
        self.home = home
        self.shape = shape
        self.broker = broker
        self._supervisor = supervisor
        self._ports: dict[str, int] = {}
        self._ready: dict[str, list[Callable[[], Awaitable[bool]]]] = {}
        self._environ: dict[str, str] = {}
        self.urls = Urls(postgres_url(home), valkey_url(home), broker.url() if broker else "")

    @property
    def apis(self) -> list[str]:
        names = ["gateway" if n == 0 else f"gateway-{n}" for n in range(self.shape.gateways)]
        return [f"http://127.0.0.1:{self._ports[name]}" for name in names]

    @property
    def roles(self) -> list[str]:
        return [*(role for role in self._supervisor.pids if role != "supervisor"), *(["broker"] if self.broker else [])]

    @property
    def agent(self) -> str:
        """Where its function takes events."""
        return f"http://127.0.0.1:{self._ports['agent']}"

    def log(self, name: str) -> str:
        return (self.home / "log" / f"{name}.log").read_text(errors="replace")

    def pids(self, role: str) -> list[int]:
        return self._supervisor.pids.get(role, [])

    def keep_logs(self) -> None:
        """For whoever has to find out why."""
        kept = tempfile.mkdtemp(prefix="sutazai-chaos-logs-")
        shutil.copytree(self.home / "log", kept, dirs_exist_ok=True)
        shutil.copy(self.home / "supervisor.log", kept)
        print(f"logs are kept in {kept}")

    async def answering(self, role: str) -> None:
        """Returns once every process of the role answers."""
        for ready in self._ready.get(role, []):
            while True:
                try:
                    if await ready():
                        break
                except OSError:
                    pass
                await asyncio.sleep(_POLL_S)

    def signal(self, role: str, number: signal.Signals, *, which: int = 0) -> int | None:
        """The process that was told, of those that run; None where none does just now."""
        if not (pids := self.pids(role)):
            return None
        pid = pids[which % len(pids)]
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def kill(self, role: str, *, which: int = 0) -> int | None:
        return self.signal(role, signal.SIGKILL, which=which)

    async def kill_broker(self, *, away_s: float, wiped: bool = False) -> None:
        """Returns once it answers again."""
        assert self.broker is not None
        await asyncio.to_thread(self.broker.kill)
        if wiped:
            self.broker.wipe()
        await asyncio.sleep(away_s)
        await asyncio.to_thread(self.broker.start)

    async def start_functions(self, urls: Urls) -> None:
        shape, run = self.shape, self._start
        self._environ = {
            **os.environ,
            # An image is compiled once: what restarts here would otherwise compile everything each time.
            "PYTHONDONTWRITEBYTECODE": "",
            "SUTAZAI_HOME": str(self.home),
            "SUTAZAI_POSTGRES_URL": urls.postgres,
            "SUTAZAI_REDIS_URL": urls.redis,
            "SUTAZAI_AMQP_URL": urls.amqp,
            **shape.environ,
        }
        names = ["gateway" if n == 0 else f"gateway-{n}" for n in range(shape.gateways)]
        functions = shape.functions and shape.broker
        for name in [*names, "keeper", *(["agent", "connector"] if functions else [])]:
            self._ports[name] = await pick_port(self.home, name)
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(run("gateway", name, "serve", "--endpoints"))
            group.create_task(run("keeper", "keeper", "serve", "keep"))
            for number in range(shape.workers):
                group.create_task(self._start_worker(number))
            if functions:
                url = f"http://127.0.0.1:{self._ports['agent']}/?{{name}}"
                group.create_task(run("agent", "agent", "serve", "--agent", "everything"))
                group.create_task(run("connector", "connector", "serve", "connect", SUTAZAI_FUNCTION_URL=url))

    async def _start(self, role: str, name: str, *argv: str, **environ: str) -> None:
        port = self._ports[name]
        self._ready.setdefault(role, []).append(partial(_answers, port))
        await self._supervisor.start(
            Service(
                name=name,
                role=role,
                argv=self._argv(role, name, *argv, "--host", "127.0.0.1", "--port", str(port)),
                ready=partial(_answers, port),
                env={**self._environ, **environ, **self.shape.only.get(role, {})},
                start_timeout_s=START_S,
                stop_timeout_s=30,
            )
        )

    async def _start_worker(self, number: int) -> None:
        ready = self.home / "run" / f"worker-{number}.ready"

        async def is_ready() -> bool:
            return ready.exists()

        self._ready.setdefault("worker", []).append(is_ready)
        slot = {"SUTAZAI_WORKER_SLOT": f"chaos/{number}"}
        await self._supervisor.start(
            Service(
                name=f"worker-{number}",
                role="worker",
                argv=self._argv("worker", f"worker-{number}", "worker", "--ready", str(ready)),
                ready=is_ready,
                env={**self._environ, **slot, **self.shape.only.get("worker", {})},
                start_timeout_s=START_S,
                stop_timeout_s=40,
                before_start=lambda: ready.unlink(missing_ok=True),
            )
        )

    def _argv(self, role: str, name: str, *argv: str) -> tuple[str, ...]:
        instead = self.shape.instead
        module = instead.get(name) or instead.get(role) or ("functions",)
        return (*self.shape.prefix.get(role, ()), sys.executable, "-m", *module, *argv)

    def record(self) -> AbstractAsyncContextManager[Any]:
        return recorded(lambda: self.urls.postgres)


async def _answers(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await writer.drain()
        return (await reader.readline()).split(b" ")[1:2] == [b"200"]
    finally:
        writer.close()


@asynccontextmanager
async def cluster(
    shape: Shape, *, home: Path | None = None, fsync: bool = True, through: Through = directly
) -> AsyncIterator[Cluster]:
    """All of it, started, and stopped in the end; `through` may stand between the processes and the servers."""
    async with AsyncExitStack() as stack:
        if home is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sutazai-chaos-")))
            folder.chmod(0o755)
            home = folder / "home"
        home.mkdir(mode=0o711, exist_ok=True)
        broker = RabbitMQ() if shape.broker else None
        if broker is not None:
            await asyncio.to_thread(broker.start)
            stack.callback(broker.__exit__, None, None, None)
        quiet = (home / "supervisor.log").open("a", buffering=1)
        stack.callback(quiet.close)
        supervisor = await stack.enter_async_context(Supervisor(home, say=lambda line: print(line, file=quiet)))
        say: Callable[[str], None] = lambda line: None  # noqa: E731
        await supervisor.start(await postgres_service(home, say=say, fsync=fsync))
        await supervisor.start(await valkey_service(home, say=say, fsync=fsync))
        here = Cluster(home, shape, supervisor, broker)
        await migrate(here.urls.postgres)
        await _make_keys(here)
        await here.start_functions(await stack.enter_async_context(through(here.urls)))
        yield here


async def _make_keys(here: Cluster) -> None:
    """Before several processes want them at once, as an installation does."""
    environ = {
        "SUTAZAI_HOME": str(here.home),
        "SUTAZAI_POSTGRES_URL": here.urls.postgres,
        "SUTAZAI_REDIS_URL": here.urls.redis,
    }
    async with Ports(Settings.read(environ)) as ports:
        for port in (Passwords, Queue, Tasks, Tokens):
            await ports.open(port)
