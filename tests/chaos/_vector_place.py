"""The vector service as a process of its own over a real record, and Chroma's server, if asked for: both can be killed.

What the engines hold is looked at from outside too, once the service has ended: by opening what it has left behind.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from uuid import UUID

import httpx
import numpy as np

from shared.config import Settings
from shared.local.postgres import running_postgres
from shared.ports.objects import Objects
from shared.ports.signals import Signals
from shared.ports.vector_engine import Backend, Metric, Space, VectorEngine
from shared.ports.vector_service import EngineState, VectorService
from shared.ports.vectors import Collections, Kept, Truth, Vectors
from shared.stores.postgres.migrate import migrate
from shared.stores.vector_service import HttpVectorService
from shared.vectors.applying import Applier, space_of
from shared.vectors.places import OwnPlaces, Places, SharedPlaces
from shared.vectors.reconcile import digest_of
from shared.vectors.serving.engines import Engines
from shared.wiring import Ports
from tests.engine import free_port
from tests.people import place
from tests.report import Target, exactly
from tests.system.platform import REPOSITORY

START_S = 120.0
_POLL_S = 0.02


class Process:
    """One that may end at any time, and is started again."""

    def __init__(self, name: str, argv: Sequence[str], environ: Mapping[str, str], ready: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._argv = argv
        self._environ = environ
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, cwd=REPOSITORY, env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    async def killed_while_it_ends(self, after_s: float) -> None:
        """When it is told to end it saves what it has; in the middle of that it is killed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.sleep(after_s)
            self.kill()

    async def stop(self) -> None:
        """In its own time."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self._process.wait, START_S)
            self._process = None

    async def ready(self, *, within_s: float = START_S) -> float:
        """Returns after how many seconds it is. Raises RuntimeError with its last words where it is not."""
        began = time.monotonic()
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while time.monotonic() - began < within_s and self.runs:
                try:
                    if (await client.get(self._ready)).status_code == 200:
                        return time.monotonic() - began
                except httpx.TransportError:
                    pass
                await asyncio.sleep(_POLL_S)
        raise RuntimeError(f"{self.name} is not ready:\n{self.log.read_text()[-4000:]}")

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None


@dataclass(frozen=True, kw_only=True)
class Held:
    """What one engine has of one collection, against the record."""

    backend: Backend
    collection: str
    lost: int
    resurrected: int
    # Of the 256 buckets.
    differing: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """`chroma`: its server, where it is not within the service."""

    settings: Settings
    ada: UUID
    service: Process
    chroma: Process | None
    collections: Collections
    vectors: Vectors
    truth: Truth
    signals: Signals
    port: VectorService

    async def create(self, name: str, *backends: Backend, dimension: int, metric: Metric = "l2") -> Kept:
        await self.collections.create(self.ada, name, dimension=dimension, metric=metric, model=None, backends=backends)
        return await self.kept(name)

    async def kept(self, name: str) -> Kept:
        return await self.collections.find(self.ada, name)

    async def engines(self) -> Sequence[EngineState]:
        return await self.port.engines()

    async def sweep(self) -> Sequence[EngineState]:
        return await cast(HttpVectorService, self.port).sweep()

    async def caught_up(self, *, within_s: float) -> float:
        """Seconds until every engine says that it is at the record's seq; infinity where one does not."""
        began = time.monotonic()
        while (passed := time.monotonic() - began) < within_s:
            try:
                states = await self.engines()
            except Exception:
                states = ()
            if states and all(state.status == "ok" and state.lag_seq == 0 for state in states):
                return passed
            await asyncio.sleep(_POLL_S)
        return float("inf")

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Opened"]:
        """The engines themselves, while the service does not run."""
        assert not self.service.runs
        async with AsyncExitStack() as stack:
            ports = await stack.enter_async_context(Ports(self.settings))
            objects = await ports.open(Objects)
            engines = await stack.enter_async_context(Engines(settings=self.settings, objects=objects))
            yield Opened(self, engines)


class Opened:
    def __init__(self, of: Place, engines: Engines) -> None:
        self._of = of
        self._engines = engines
        self._places: dict[Backend, Places] = {}

    async def space(self, backend: Backend, collection: Kept) -> tuple[VectorEngine, Space]:
        """Brought up to the record, as at any start: of what lives in memory the last snapshot may be an old one."""
        engine = await self._engines.open(backend)
        if backend not in self._places:
            is_shared = self._engines.is_shared(backend)
            truth = self._of.truth
            places = SharedPlaces(backend, truth) if is_shared else OwnPlaces(engine, truth)
            await Applier(engine, truth=truth, signals=self._of.signals, places=places).turn()
            self._places[backend] = places
        known = await self._places[backend].progress()
        return engine, space_of(collection, known[collection.id].epoch)

    async def held(self, collection: Kept) -> list[Held]:
        return [await self._held(backend, collection) for backend in collection.backends]

    async def _held(self, backend: Backend, collection: Kept) -> Held:
        engine, space = await self.space(backend, collection)
        numbers, seqs = await self._of.truth.versions(collection.id, upto_seq=collection.seq)
        right = np.flatnonzero(np.array(await engine.digest(space), np.uint64) != digest_of(numbers, seqs))
        held: set[int] = set()
        while points := await engine.scroll(space, after=max(held, default=-1)):
            held.update(point.number for point in points)
        live = set(numbers.tolist())
        return Held(
            backend=backend,
            collection=collection.name,
            lost=len(live - held),
            resurrected=len(held - live),
            differing=len(right),
        )


def judged(held: Sequence[Held]) -> dict[str, Target]:
    for one in held:
        if one.differing:
            print(one)
    return {
        "lost by an engine": exactly(sum(one.lost for one in held), 0),
        "resurrected by an engine": exactly(sum(one.resurrected for one in held), 0),
        "buckets that differ": exactly(sum(one.differing for one in held), 0),
    }


@asynccontextmanager
async def vector_place(folder: Path, *, server: bool) -> AsyncIterator[Place]:
    """`server`: Chroma is one. Everything runs, and the service is ready."""
    home = folder / "home"
    home.mkdir(mode=0o711)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running_postgres(folder / "postgres", say=lambda _: None))
        await migrate(url)
        chroma = _chroma(folder) if server else None
        settings = _settings(home, url, chroma)
        people = await stack.enter_async_context(place(settings))
        ports = await stack.enter_async_context(Ports(settings))
        service = _service(settings, folder)
        for process in filter(None, (chroma, service)):
            stack.callback(process.kill)
            process.start()
        for process in filter(None, (chroma, service)):
            await process.ready()
        yield Place(
            settings=settings,
            ada=(await people.register("ada")).id,
            service=service,
            chroma=chroma,
            collections=await ports.open(Collections),
            vectors=await ports.open(Vectors),
            truth=await ports.open(Truth),
            signals=await ports.open(Signals),
            port=await ports.open(VectorService),
        )


def _settings(home: Path, postgres_url: str, chroma: Process | None) -> Settings:
    found = Settings.read({"SUTAZAI_HOME": str(home), "SUTAZAI_POSTGRES_URL": postgres_url})
    chroma_url = chroma._ready.partition("/api/")[0] if chroma else ""
    return replace(found, vectors_url=f"http://127.0.0.1:{free_port()}", chroma_url=chroma_url)


def _service(settings: Settings, folder: Path) -> Process:
    port = settings.vectors_url.rpartition(":")[2]
    argv = (sys.executable, "-m", "functions", "serve", "vectors-serve-vectors", "--host", "127.0.0.1", "--port", port)
    environ = {
        **os.environ,
        "SUTAZAI_HOME": str(settings.home),
        "SUTAZAI_POSTGRES_URL": settings.postgres_url,
        "SUTAZAI_CHROMA_URL": settings.chroma_url,
    }
    return Process("service", argv, environ, f"{settings.vectors_url}/health/ready", folder)


def _chroma(folder: Path) -> Process:
    port = str(free_port())
    command = str(Path(sys.executable).with_name("chroma"))
    argv = (command, "run", "--path", str(folder / "chroma"), "--host", "127.0.0.1", "--port", port)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "ANONYMIZED_TELEMETRY": "False"}
    return Process("chroma", argv, environ, f"http://127.0.0.1:{port}/api/v2/heartbeat", folder)
