"""Vectors of the running platform, through its API: the record, the service and its engines together."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.system.platform import PASSWORD, Client, Platform
from tests.system.tasks import play

DIMENSION = 384


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-vectors-") as folder:
        Path(folder).chmod(0o755)
        admin = {"SUTAZAI_ADMIN_EMAIL": "root@example.org", "SUTAZAI_ADMIN_PASSWORD": PASSWORD}
        with Platform(Path(folder) / "home", **admin) as running:
            yield running


async def post(client: Client, path: str, body: Any, *, status: int = 200) -> Any:
    answer = await client.http.post(f"/api/v1/vectors{path}", json=body, timeout=120)
    assert answer.status_code == status, answer.text
    return answer.json()["data"] if status < 300 else answer.json()["error"]


async def get(client: Client, path: str) -> Any:
    answer = await client.http.get(f"/api/v1/vectors{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def search(client: Client, **asked: Any) -> Any:
    return await post(client, "/search", asked)


def test_every_engine_answers_with_what_was_just_written(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        made = {"name": "numbers", "dimension": DIMENSION, "metric": "cosine", "backends": ["faiss", "qdrant"]}
        await post(client, "/collections", made, status=201)
        drawn = np.random.default_rng(1).normal(size=(1000, DIMENSION)).round(4)
        vectors = [
            {"id": str(n), "vector": vector.tolist(), "metadata": {"n": n, "even": n % 2 == 0}}
            for n, vector in enumerate(drawn)
        ]
        written = await post(client, "/upsert", {"collection": "numbers", "vectors": vectors})
        assert written == {"upserted": 1000, "changed": 1000, "collection": "numbers", "seq": 1000}
        unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        query = 2 * unit[0] + unit[1]
        order = [str(n) for n in np.argsort(-(unit @ query), kind="stable")]
        for backend in ("faiss", "qdrant"):
            asked = {"collection": "numbers", "vector": query.tolist(), "backend": backend, "min_seq": written["seq"]}
            # One that takes long to follow is passed over, and it is said; the play's deadline bounds the wait.
            while (found := await search(client, **asked))["degraded"]:
                assert found["backend"] != backend and found["lag_seq"] == 0
            assert (found["backend"], found["lag_seq"]) == (backend, 0)
            assert [one["id"] for one in found["results"]] == order[:10] and found["total_results"] == 10
            even = await search(client, **asked, filters={"even": True}, top_k=5)
            assert [one["id"] for one in even["results"]] == [one for one in order if int(one) % 2 == 0][:5]
        gone = await client.http.delete(f"/api/v1/vectors/numbers/{order[0]}")
        assert gone.json()["data"]["seq"] == 1001
        after = await search(client, collection="numbers", vector=query.tolist(), min_seq=1001)
        assert [one["id"] for one in after["results"]] == order[1:11]
        assert (await get(client, f"/numbers/{order[1]}"))["metadata"]["n"] == int(order[1])

    play(platform, scenario)


def test_texts_are_embedded_found_and_found_again_by_a_new_model(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        models = await get(client, "/models")
        (hashed,) = [model for model in models["models"] if model["name"] == "hash"]
        await post(client, "/collections", {"name": "notes-1", "model": "hash"}, status=201)
        texts = [
            "Keepers wake agents.",
            "One process takes the lock.",
            "Audit lines are sealed.",
            "Snapshots lie there.",
        ]
        notes = [{"id": f"note/{n}", "text": text, "metadata": {"n": n}} for n, text in enumerate(texts)]
        written = await post(client, "/upsert", {"collection": "notes-1", "vectors": notes})
        await client.http.put("/api/v1/vectors/aliases/notes", json={"collection": "notes-1"})
        asked = {"collection": "notes", "query": "who is locking a process", "min_seq": written["seq"]}
        found = await search(client, **asked)
        assert found["results"][0] == {"id": "note/1", "score": 1.0, "text": texts[1], "metadata": {"n": 1}}
        assert (found["hybrid"], found["collection"], found["degraded"]) == (True, "notes-1", False)
        assert found["query_embedding_time"] >= 0 and found["search_time"] > 0
        assert (await search(client, **asked))["cached"]
        (embedded,) = (await post(client, "/embed", {"texts": ["a"], "collection": "notes"}))["embeddings"]
        assert embedded["dimension"] == len(embedded["vector"]) == hashed["dimension"]
        refused = await post(
            client,
            "/upsert",
            {"collection": "notes", "vectors": [{"id": "x", "vector": embedded["vector"]}]},
            status=409,
        )
        assert refused["details"]["model"] == hashed["id"]
        await post(client, "/collections", {"name": "notes-2", "model": "hash", "metric": "dot"}, status=201)
        again = await post(client, "/upsert", {"collection": "notes-2", "vectors": notes[:2]})
        await client.http.put("/api/v1/vectors/aliases/notes", json={"collection": "notes-2"})
        swapped = await search(client, **{**asked, "min_seq": again["seq"]})
        assert (swapped["collection"], swapped["results"][0]["id"]) == ("notes-2", "note/1")
        assert (await client.http.delete("/api/v1/vectors/collections/notes-2")).status_code == 200
        listed = await client.http.get("/api/v1/vectors/aliases", params={"limit": 200})
        assert listed.json()["data"] == {"aliases": [], "next_cursor": None}
        assert (await get(client, "/notes-1/note%2F3"))["text"] == texts[3]

    play(platform, scenario)


@pytest.mark.parametrize(
    "body, status",
    [
        ('{"collection": "bounds", "vectors": [{"id": "a", "vector": [NaN, 1]}]}', 400),
        ('{"collection": "bounds", "vectors": [{"id": "a", "vector": [Infinity, 1]}]}', 400),
        ('{"collection": "bounds", "vectors": [{"id": "a", "vector": [1e400, 1]}]}', 400),
        ('{"collection": "bounds", "vectors": [{"id": "\\u0000", "vector": [1, 1]}]}', 400),
        (json.dumps({"collection": "bounds", "vectors": [{"id": "a", "vector": [1, 1]}], "x": " " * (10 << 20)}), 413),
        (json.dumps({"collection": "bounds", "vectors": [{"id": "a", "vector": [1, 1]}]}) + " " * (9 << 20), 200),
    ],
    ids=lambda value: repr(value)[:70],
)
def test_bodies_are_bounded_and_json(platform: Platform, body: str, status: int) -> None:
    async def scenario(client: Client) -> None:
        await client.http.post("/api/v1/vectors/collections", json={"name": "bounds", "dimension": 2})
        answer = await client.http.post("/api/v1/vectors/upsert", content=body.encode())
        assert answer.status_code == status, answer.text

    play(platform, scenario)


def test_operators_alone_see_the_engines(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        assert (await client.http.get("/api/v1/vectors/engines")).status_code == 403
        async with httpx.AsyncClient(base_url=platform.api, timeout=30, trust_env=False) as root:
            login = {"email": "root@example.org", "password": PASSWORD}
            token = (await root.post("/api/v1/auth/login", json=login)).json()["data"]["access_token"]
            headers = {"authorization": f"Bearer {token}"}
            engines = (await root.get("/api/v1/vectors/engines", headers=headers)).json()["data"]["engines"]
        assert {"faiss", "qdrant"} <= {engine["backend"] for engine in engines}
        assert all(engine["failing"] == 0 for engine in engines), engines

    play(platform, scenario)
