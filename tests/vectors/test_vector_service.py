"""The vector service as everybody asks it: over HTTP, signed, with FAISS behind it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from shared.background import Background
from shared.backlog import Backlog
from shared.catalog import load
from shared.config import Settings
from shared.errors import Busy, ConfigurationError, Invalid, NotFound, Unavailable
from shared.ports.health import Health
from shared.ports.vector_service import Query, VectorService
from shared.ports.vectors import Kept, NewVector
from shared.serve import App
from shared.stores.vector_requests import VectorRequests
from shared.vectors.filters import Eq, In, Range
from shared.vectors.serving.protocol import MOST_BYTES
from shared.vectors.serving.signing import HEADER, Signer
from shared.wiring import Ports
from tests.vectors.served import Record, behind_its_port, play, until


def vector(*values: float) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    return np.array(values, np.float32)


async def search(service: VectorService, collection: Kept, value: float, **more: object) -> list[int]:
    query = Query(**{"collection": collection, "top_k": 3, "vector": vector(value, value, value), **more})  # type: ignore[arg-type]
    return [hit.number for hit in (await service.search(query)).hits]


def test_searches_are_answered_by_faiss_each_its_own(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(**{f"v{n}": n for n in range(100)})
        kept = await record.kept()
        async with record.served() as service:
            query = Query(collection=kept, top_k=2, vector=vector(7, 7, 7))
            found = await service.search(query)
            assert [hit.number for hit in found.hits] == [7, 6]
            assert found.hits[0].score == 1.0 and found.hits[1].score == pytest.approx(1 / (1 + 3**0.5))
            assert (found.backend, found.exact, found.degraded) == ("faiss", True, False)
            assert (found.applied_seq, found.lag_seq) == (100, 0)
            assert found.vector.tolist() == [7, 7, 7] and found.search_ms > 0 and found.embedding_ms >= 0
            # At once, and so partly in one request.
            each = await asyncio.gather(*(search(service, kept, value) for value in range(100)))
            assert [numbers[0] for numbers in each] == list(range(100))
            assert await search(service, kept, 5, top_k=10_000) == sorted(range(100), key=lambda n: (abs(n - 5), n))

    play(settings, scenario)


def test_a_filter_arrives_as_it_is_meant(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        values: list[object] = [1, 1.5, "1", True, 2]
        vectors = [
            NewVector(id=f"v{n}", vector=vector(n, n, n), metadata={"k": value})  # type: ignore[dict-item]
            for n, value in enumerate(values)
        ]
        await record.vectors.upsert(record.ada, "papers", vectors, model=None)
        kept = await record.kept()
        async with record.served() as service:
            filters = (Eq("k", 1), Eq("k", True), Eq("k", "1"), In("k", (2, "1")), Range("k", gt=1, lte=2))
            found = await asyncio.gather(*(search(service, kept, 0, filter=one) for one in filters))
            assert found == [[0], [3], [2], [2, 4], [1, 4]]

    play(settings, scenario)


def test_it_comes_back_from_its_snapshot_and_what_came_after(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(**{f"v{n}": n for n in range(50)})
        async with record.served() as service:
            assert await search(service, await record.kept(), 3) == [3, 2, 4]
        kept = await record.kept()
        manifests = list(settings.objects_dir.glob("vectors/*/manifest.json*"))
        assert len(manifests) == 1 and kept.id.hex in str(manifests[0])
        await record.upsert(v3=1000, new=3)
        async with record.served() as service:
            assert await search(service, await record.kept(), 3) == [50, 2, 4]

    play(settings, scenario)


def test_a_damaged_snapshot_is_passed_over(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(**{f"v{n}": n for n in range(50)})
        async with record.served() as service:
            await search(service, await record.kept(), 3)
        for part in settings.objects_dir.glob("vectors/*/*/base-vectors*"):
            part.write_bytes(part.read_bytes()[:-7])
        for part in settings.objects_dir.glob("vectors/*/*/*"):
            if part.is_file():
                part.write_bytes(b"\x80\x04garbage")
        async with record.served() as service:
            assert await search(service, await record.kept(), 3) == [3, 2, 4]

    play(settings, scenario)


def test_texts_are_embedded_and_models_listed(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        async with record.served() as service:
            models = await service.models()
            assert models == record.embedding.models()
            mine = next(model for model in models if model.name == "hash")
            texts = [f"text number {n}" for n in range(1500)]
            embedded = await service.embed(texts, model="hash", kind="query")
            assert embedded.model == mine and embedded.vectors.shape == (1500, mine.dimension)
            alone = await service.embed(texts[1300:1301], model=mine.id)
            assert np.allclose(alone.vectors[0], embedded.vectors[1300])
            assert (await service.embed([], model="hash")).vectors.shape == (0, mine.dimension)
            with pytest.raises(NotFound, match="'gone'"):
                await service.embed(["x"], model="gone")
            await record.create("faiss", model=mine.id, dimension=mine.dimension, metric="cosine")
            new = [NewVector(id=str(n), vector=row) for n, row in enumerate(embedded.vectors[:20])]
            written = await record.vectors.upsert(record.ada, "papers", new, model=mine.id)
            query = Query(collection=await record.kept(), top_k=1, text=texts[7], min_seq=written.seq)

            async def is_open() -> bool:
                try:
                    found = await service.search(query)
                except Unavailable:
                    # FAISS is opened for its first collection.
                    return False
                assert [hit.number for hit in found.hits] == [7] and found.embedding_ms > 0
                return np.allclose(found.vector, embedded.vectors[7])

            await until(is_open)

    play(settings, scenario)


def test_what_is_wrong_with_a_search_is_said_before_it_is_sent(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        kept = await record.create("faiss")
        async with record.served() as service:
            wrong = [
                Query(collection=kept, top_k=1),
                Query(collection=kept, top_k=1, text="x", vector=vector(1, 2, 3)),
                Query(collection=kept, top_k=1, vector=vector(1, 2)),
                Query(collection=kept, top_k=1, vector=vector(1, 2, float("nan"))),
                Query(collection=kept, top_k=0, vector=vector(1, 2, 3)),
                Query(collection=kept, top_k=10_001, vector=vector(1, 2, 3)),
                Query(collection=kept, top_k=1, vector=vector(1, 2, 3), backend="chroma"),
                Query(collection=kept, top_k=1, text="of no model"),
            ]
            for query in wrong:
                with pytest.raises(Invalid):
                    await service.search(query)

    play(settings, scenario)


def test_strangers_and_nonsense_get_a_clear_answer(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        async with behind_its_port(settings, {}) as there, httpx.AsyncClient(base_url=there.vectors_url) as client:
            signer = Signer(settings.keys_dir)

            async def post(path: str, body: bytes, *, signed: bool = True) -> tuple[int, str]:
                name = HEADER.decode()
                headers = {name: signer.sign(path, body).decode()} if signed else {}
                answer = await client.post(path, content=body, headers=headers)
                return answer.status_code, answer.json()["code"]

            assert await post("/search", b"", signed=False) == (401, "UNAUTHORIZED")
            assert await post("/search", b"") == (400, "VALIDATION_ERROR")
            assert await post("/search", b"\xff" * 100) == (400, "VALIDATION_ERROR")
            assert await post("/embed", b"\x02\0\0\0[]") == (400, "VALIDATION_ERROR")
            assert await post("/search", b"\0" * (MOST_BYTES + 1)) == (413, "PAYLOAD_TOO_LARGE")
            assert await post("/elsewhere", b"") == (404, "NOT_FOUND")
            assert (await client.get("/search")).status_code == 404
            assert (await client.get("/health/ready")).status_code == 200

    play(settings, scenario)


def test_until_it_is_ready_it_says_so_and_health_tells(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        kept = await record.create("faiss")
        await record.upsert(a=1)
        nowhere = replace(settings, vectors_url="http://127.0.0.1:9")
        async with Ports(nowhere) as ports:
            with pytest.raises(Unavailable, match="does not answer"):
                await search(await ports.open(VectorService), kept, 1)
            report = await (await ports.open(Health)).report()
            assert (report.status, report.services["vectors"].status) == ("degraded", "down")
        async with behind_its_port(settings, {}) as there, Ports(there) as ports:
            health = (await (await ports.open(Health)).report()).services
            said = {name: health[name].status for name in ("vectors", "faiss", "qdrant", "chroma")}
            assert said == {"vectors": "ok", "faiss": "ok", "qdrant": "ok", "chroma": "ok"}
            assert health["qdrant"].detail == "no collection uses it"
            service = await ports.open(VectorService)
            assert await search(service, await record.kept(), 1) == [0]
        async with Ports(settings) as ports:
            with pytest.raises(Unavailable, match="no vector service"):
                await (await ports.open(VectorService)).engines()
            assert "vectors" not in (await (await ports.open(Health)).report()).services

    play(settings, scenario)


def test_one_that_is_busy_says_so_and_when_to_come_back(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2)
        kept = await record.kept()

        def full(backlog: Backlog, count: int = 1) -> None:
            raise Busy(f"too many queries are waiting, {count} beside them", retry_after=3.2)

        async with record.served() as service:
            monkeypatch.setattr(Backlog, "entered", full)
            with pytest.raises(Busy, match="1 beside them") as refused:
                await search(service, kept, 1)
            assert refused.value.details == {"retry_after": 4}
            monkeypatch.undo()
            assert await search(service, kept, 1) == [0, 1]

    play(settings, scenario)


def test_a_connection_that_its_other_end_has_closed_costs_no_search(settings: Settings) -> None:
    async def scenario(record: Record) -> None:
        await record.create("faiss")
        await record.upsert(a=1, b=2)
        kept = await record.kept()
        async with behind_its_port(settings, {}) as there, Ports(there) as ports:
            requests = await ports.open(VectorRequests)
            service = await ports.open(VectorService)
            await asyncio.gather(*(service.models() for _ in range(5)))
            for _, upstream in requests._idle._kept:
                upstream._writer.transport.abort()
            assert await search(service, kept, 1) == [0, 1]

    play(settings, scenario)


@pytest.mark.parametrize("url", ["https://vectors", "vectors:80", "http://", "http://vectors/path"])
def test_a_place_that_is_none_is_refused_at_the_start(tmp_path: Path, url: str) -> None:
    settings = Settings.read({"SUTAZAI_HOME": str(tmp_path), "SUTAZAI_VECTORS_URL": url})
    with pytest.raises(ConfigurationError, match="SUTAZAI_VECTORS_URL"):
        VectorRequests(settings=settings)


def test_without_the_record_it_is_not_ready_and_answers_nothing(settings: Settings, tmp_path: Path) -> None:
    away = replace(settings, postgres_url="postgresql://nobody:x@127.0.0.1:9/nowhere", keys_dir=tmp_path / "keys")

    async def main() -> None:
        app = App([], settings=away, beside=[Background([load("functions.vectors.serve_vectors")])])
        transport = httpx.ASGITransport(app)
        async with asyncio.timeout(60), app.running(), httpx.AsyncClient(transport=transport) as client:
            found = [
                (await client.request(method, f"http://vectors{path}")).status_code
                for method, path in (("GET", "/health/live"), ("GET", "/health/ready"), ("POST", "/search"))
            ]
            assert found == [200, 503, 503]

    asyncio.run(main())
