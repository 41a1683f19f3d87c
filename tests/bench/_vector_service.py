"""The vector service as a process of its own: what it costs beside FAISS alone, and how soon it is back."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol
from uuid import UUID, uuid4

import httpx
import numpy as np

from shared.config import Settings
from shared.local.lock import pick_port
from shared.local.postgres import running_postgres
from shared.local.supervisor import Supervisor
from shared.local.vectors import vectors_service
from shared.ports.users import Registration, Users
from shared.ports.vector_engine import Backend, Space
from shared.ports.vector_service import Query, VectorService
from shared.ports.vectors import Collections, Kept, NewVector, Vectors
from shared.stores.faiss.engine import FaissEngine
from shared.stores.postgres.migrate import migrate
from shared.stores.vector_requests import VectorRequests
from shared.vectors.applying import space_of
from shared.vectors.serving import protocol
from shared.vectors.serving.protocol import Searches
from shared.wiring import Ports
from tests.bench._cpu import cpu_s
from tests.report import Target, at_least, at_most
from tests.vectors.faiss_data import Clustered, Matrix, opened

# What the names of targets for shares of its CPU begin with.
SHARE = "service: "
_BEST = 10
_AT_ONCE = 32
_ROUNDS = 7
_ENGINES: tuple[Backend, ...] = ("faiss", "qdrant", "chroma")
_PATIENCE_S = 1200


class Raw(Protocol):
    def search(self, queries: Matrix) -> None: ...


@dataclass(frozen=True)
class _Place:
    settings: Settings
    environ: dict[str, str]
    port: int
    user_id: UUID
    collections: Collections
    vectors: Vectors

    async def filled(self, name: str, data: Clustered, backends: Sequence[Backend]) -> Kept:
        """A collection in the record."""
        dimension = data.vectors.shape[1]
        await self.collections.create(
            self.user_id, name, dimension=dimension, metric="cosine", model=None, backends=backends
        )
        for start in range(0, len(data.vectors), 1000):
            some = enumerate(data.vectors[start : start + 1000], start)
            new = [NewVector(id=f"v{number}", vector=vector) for number, vector in some]
            await self.vectors.upsert(self.user_id, name, new, model=None)
        return await self.collections.find(self.user_id, name)

    @asynccontextmanager
    async def running(self, what: str) -> AsyncIterator[tuple[int, float]]:
        """Its process, and after how many seconds it was ready."""
        began = time.perf_counter()
        service = vectors_service(self.environ, port=self.port)
        async with Supervisor(self.settings.home, [service], say=lambda _: None) as supervisor:
            await _ready(self.settings.vectors_url)
            took_s = time.perf_counter() - began
            (pid,) = supervisor.pids["vectors"]
            print(f"{what}: ready after {took_s:.1f} s, of the CPU {cpu_s({pid}):.1f} s, {_resident_mib(pid)} MiB")
            yield pid, took_s


async def _ready(url: str) -> None:
    async with asyncio.timeout(_PATIENCE_S), httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while True:
            with suppress(httpx.TransportError):
                if (await client.get("/health/ready")).status_code == 200:
                    return
            await asyncio.sleep(0.02)


def _resident_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


@asynccontextmanager
async def _place() -> AsyncIterator[_Place]:
    with tempfile.TemporaryDirectory(prefix="sutazai-vectors-") as folder:
        Path(folder).chmod(0o711)
        home = Path(folder) / "home"
        async with running_postgres(Path(folder) / "postgres", fsync=False, say=lambda _: None) as url:
            await migrate(url)
            (home / "run").mkdir(parents=True)
            port = await pick_port(home, "vectors")
            places = {"SUTAZAI_HOME": str(home), "SUTAZAI_POSTGRES_URL": url}
            environ = {**os.environ, **places, "SUTAZAI_VECTORS_URL": f"http://127.0.0.1:{port}"}
            settings = Settings.read(environ)
            async with Ports(settings) as ports:
                who = Registration(email="ada@example.org", username="ada", password_hash=uuid4().hex)
                user = await (await ports.open(Users)).register(who)
                collections, vectors = await ports.open(Collections), await ports.open(Vectors)
                yield _Place(settings, environ, port, user.id, collections, vectors)


async def measured(
    data: Clustered, *, rivals: int, seconds: int, raw: Callable[[FaissEngine, Space], Raw]
) -> dict[str, Target]:
    """`raw`: FAISS alone over the index that an engine holds for a space."""
    count = len(data.vectors)
    targets: dict[str, Target] = {}
    async with _place() as place:
        kept = await place.filled("papers", data, ["faiss"])
        async with place.running("from PostgreSQL") as (_, took_s):
            targets["ready from PostgreSQL, s"] = at_most(took_s, 30.0 * max(1.0, count / 100_000))
            await _answers(place, kept, data)
        await _compacted(place, kept)
        async with place.running("from its snapshot") as (pid, took_s):
            targets["ready from a snapshot, s"] = at_most(took_s, 3.0 * max(1.0, count / 100_000))
            async with opened(place.settings.home) as engine, Ports(place.settings) as ports:
                await engine.restore(space_of(kept, 0))
                await engine.settled(space_of(kept, 0))
                alone = raw(engine, space_of(kept, 0))
                service = await ports.open(VectorService)
                requests = await ports.open(VectorRequests)
                targets |= await _ratios(service, requests, kept, data.queries, alone, pid)
                targets |= await _steady(service, kept, data.queries, seconds)
        if rivals:
            few = replace(data, vectors=data.vectors[:rivals])
            targets |= await _beside(place, few)
    return targets


async def _compacted(place: _Place, kept: Kept) -> None:
    """All of it in the base, as FAISS alone has it: else what came last is compared one by one beside it."""
    async with opened(place.settings.home) as engine:
        space = space_of(kept, 0)
        await engine.restore(space)
        await engine._of(space).compacted()
        await engine.snapshot(space)


async def _answers(place: _Place, kept: Kept, data: Clustered) -> None:
    """It is ready, so what it holds is whole."""
    async with Ports(place.settings) as ports:
        found = await (await ports.open(VectorService)).search(_query(kept, data.queries[0]))
        assert (found.backend, found.lag_seq) == ("faiss", 0), found


def _query(kept: Kept, vector: "Matrix", backend: Backend | None = None) -> Query:
    return Query(collection=kept, top_k=_BEST, vector=vector, backend=backend)


async def _ratios(
    service: VectorService, requests: VectorRequests, kept: Kept, queries: Matrix, alone: Raw, pid: int
) -> dict[str, Target]:
    """Of the CPU time that each query takes in the service's process, beside FAISS alone in this one.

    FAISS alone is the same index in a loop, with as many queries a call. Of the time by the clock, in which the caller
    and the way there have their part, the share is shown beside it.
    """
    batches = [queries[start : start + _AT_ONCE] for start in range(0, len(queries), _AT_ONCE)]

    async def batched() -> None:
        for batch in batches:
            asked = Searches(collection=kept, top_k=_BEST, vectors=batch)
            body = await requests.ask("/search", protocol.write_searches(asked), within_s=60)
            protocol.read_answered(body, queries=len(batch))

    async def concurrent() -> None:
        for batch in batches:
            await asyncio.gather(*(service.search(_query(kept, query)) for query in batch))

    async def apart() -> None:
        """As from as many processes: nothing travels together."""

        async def one(query: "Matrix") -> None:
            asked = Searches(collection=kept, top_k=_BEST, vectors=query[None])
            await requests.ask("/search", protocol.write_searches(asked), within_s=60)

        for batch in batches:
            await asyncio.gather(*map(one, batch))

    async def single() -> None:
        for query in queries:
            await service.search(_query(kept, query))

    def raw_batched() -> None:
        for batch in batches:
            alone.search(batch)

    def raw_single() -> None:
        for query in queries:
            alone.search(query[None])

    return {
        f"{SHARE}batch of 32, share of FAISS alone": at_least(await _share(raw_batched, batched, pid, queries), 0.85),
        f"{SHARE}32 at once, share of a batch": at_least(await _share(raw_batched, concurrent, pid, queries), 0.55),
        f"{SHARE}32 callers apart, share of a batch": at_least(await _share(raw_batched, apart, pid, queries), 0.55),
        f"{SHARE}one by one, share of FAISS alone": at_least(await _share(raw_single, single, pid, queries), 0.40),
    }


async def _share(raw: Callable[[], None], ours: Callable[[], Awaitable[None]], pid: int, queries: Matrix) -> float:
    await ours()
    found = []
    for _ in range(_ROUNDS):
        before, began = time.process_time(), time.perf_counter()
        raw()
        alone, alone_took = time.process_time() - before, time.perf_counter() - began
        before_here, before_there, began = time.process_time(), _spent_s(pid), time.perf_counter()
        await ours()
        there = _spent_s(pid) - before_there
        here, took = time.process_time() - before_here, time.perf_counter() - began
        each = [f"{seconds / len(queries) * 1e6:.0f} us {what}" for seconds, what in _named(alone, there, here, took)]
        shares = f"share of the CPU {alone / max(there, 1e-9):.2f}, by the clock {alone_took / took:.2f}"
        print(f"  {ours.__name__}: {', '.join(each)}; {shares}")
        found.append(alone / max(there, 1e-9))
    return statistics.median(found)


def _spent_s(pid: int) -> float:
    """CPU time of a process, to the nanosecond: its clock as Linux numbers them."""
    return time.clock_gettime((~pid << 3) | 2)


def _named(alone: float, there: float, here: float, took: float) -> list[tuple[float, str]]:
    return [(alone, "alone"), (there, "in the service"), (here, "in its caller"), (took, "in all")]


async def _steady(service: VectorService, kept: Kept, queries: Matrix, seconds: int) -> dict[str, Target]:
    """500 searches a second, each at its time whether or not those before it are over."""
    rate, late = 500, []
    began = time.perf_counter()

    async def one(number: int) -> None:
        due = began + number / rate
        await service.search(_query(kept, queries[number % len(queries)]))
        late.append(time.perf_counter() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(rate * seconds):
            if (pause_s := began + number / rate - time.perf_counter()) > 0:
                await asyncio.sleep(pause_s)
            group.create_task(one(number))
    late.sort()
    print(f"{len(late)} searches at {rate}/s: median {late[len(late) // 2] * 1000:.1f} ms")
    return {"500 searches/s, p99 ms": at_most(late[int(len(late) * 0.99)] * 1000, 25)}


async def _beside(place: _Place, data: Clustered) -> dict[str, Target]:
    """The same vectors in all three engines, asked for through the service one by one."""
    kept = await place.filled("rivals", data, _ENGINES)
    found: dict[Backend, tuple[float, float]] = {}
    async with place.running("with three engines") as (pid, _), Ports(place.settings) as ports:
        service = await ports.open(VectorService)
        best = [set(np.argsort(-(data.vectors @ query))[:_BEST].tolist()) for query in data.queries]
        for backend in _ENGINES:
            await _held_by(service, kept, data.queries[0], backend)
            before = _spent_s(pid)
            hits = [await service.search(_query(kept, query, backend)) for query in data.queries]
            each_us = (_spent_s(pid) - before) / len(hits) * 1e6
            right = sum(len({hit.number for hit in of.hits} & ten) for of, ten in zip(hits, best, strict=True))
            found[backend] = right / len(hits) / _BEST, each_us
            print(f"  {backend}: recall@10 {found[backend][0]:.4f}, {each_us:.0f} us of the CPU a search")
    ours_recall, ours_us = found["faiss"]
    return {
        "recall@10 beside its rivals": at_least(ours_recall, 0.99),
        **{
            f"{rival}'s CPU time, times FAISS's": at_least(found[rival][1] / max(ours_us, 1e-9), 1.0)
            for rival in _ENGINES[1:]
        },
    }


async def _held_by(service: VectorService, kept: Kept, query: "Matrix", backend: Backend) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while (await service.search(_query(kept, query, backend))).backend != backend:
            await asyncio.sleep(0.2)
