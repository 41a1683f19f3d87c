"""Documents on the running platform: from the upload to what is found of it, and out again."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.documents.files import docx, paragraph, pdf
from tests.system.platform import PASSWORD, Client, Platform
from tests.system.tasks import play, record, running, until, worker_of

LONG = "\n\n".join(
    f"## Part {number}\n\n" + f"Statement {number} of many, each one longer. " * 12 for number in range(300)
)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-documents-") as folder:
        Path(folder).chmod(0o755)
        admin = {"SUTAZAI_ADMIN_EMAIL": "root@example.org", "SUTAZAI_ADMIN_PASSWORD": PASSWORD}
        with Platform(Path(folder) / "home", **admin) as running:
            yield running


async def data(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


async def upload(client: Client, content: bytes, name: str, **fields: str) -> Any:
    files = {"file": (name, content, "application/octet-stream")}
    return await data(await client.http.post("/api/v1/documents", files=files, data=fields), 202)


async def document(client: Client, document_id: str) -> Any:
    return await data(await client.http.get(f"/api/v1/documents/{document_id}"))


def test_files_of_every_format_are_indexed_and_known_to_the_graph(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        me = (await client.http.get("/api/v1/users/me")).json()["data"]["id"]
        sent = {
            "guide.md": b"# Guide\n\nHow to install it on Linux.",
            "page.html": b"<!doctype html><title>Page</title><h1>Guide</h1><p>How to install it.</p>",
            "paper.pdf": pdf(["How to measure vectors", "and compare them"]),
            "letter.docx": docx(paragraph("Guide", style="berschrift1") + paragraph("How to write letters.")),
            "notes.txt": "Grüße, und ein paar Wörter.".encode("cp1252"),
        }
        accepted = {name: await upload(client, content, name, metadata='{"lot": 7}') for name, content in sent.items()}
        for name, one in accepted.items():
            task = await client.ended(one["task_id"], within_s=150)
            assert (task["status"], task["agent_id"], task["task"]) == ("succeeded", "documents", "index_document"), (
                task
            )
            assert task["result"] == {
                "document_id": one["document_id"],
                "collection": "documents",
                "chunks": 1,
                "embedded": 1,
            }
            found = await document(client, one["document_id"])
            assert (found["status"], found["file_name"], found["chunks"]) == ("indexed", name, 1)
            assert (found["metadata"], found["error"]) == ({"lot": 7}, None)
        listed = await data(await client.http.get("/api/v1/documents", params={"limit": "3"}))
        assert len(listed["documents"]) == 3 and listed["next_cursor"]
        assert not [
            one for one in (await data(await client.http.get("/api/v1/agents")))["agents"] if "doc" in one["id"]
        ]
        history = await data(await client.http.get("/api/v1/tasks", params={"agent": "documents"}))
        assert len(history["tasks"]) == len(sent)
        one = accepted["paper.pdf"]
        asked = {"query": "comparing vectors", "collection": "documents", "top_k": 1, "filters": {"lot": 7}}
        (hit,) = (await data(await client.http.post("/api/v1/vectors/search", json=asked)))["results"]
        assert (hit["id"], hit["text"]) == (f"{one['document_id']}:0", "How to measure vectors\n\nand compare them")
        assert hit["metadata"] == {
            "document_id": one["document_id"],
            "title": "paper.pdf",
            "position": 0,
            "page": 1,
            "lot": 7,
        }
        found = await known(client, one["document_id"])
        edges = {(edge["source"], edge["type"], edge["target"]) for edge in found["edges"]}
        assert {(me, "CREATED", one["task_id"]), (one["task_id"], "PRODUCES", one["document_id"])} <= edges
        assert [(each["task_id"], each["agent"]) for each in found["origins"]] == [(one["task_id"], "documents")]

    play(platform, scenario, within_s=240)


async def known(client: Client, document_id: str) -> Any:
    """The graph follows a moment later; the scenario's deadline bounds the wait."""
    while True:
        answer = await client.http.get(f"/api/v1/graph/provenance/{document_id}")
        if answer.status_code == 200 and answer.json()["data"]["document"]["properties"]["status"] == "indexed":
            return answer.json()["data"]
        await asyncio.sleep(0.1)


def test_a_worker_that_is_killed_while_it_indexes_costs_no_chunk(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        body = {"text": LONG, "title": "Long", "collection": "long"}
        one = await data(await client.http.post("/api/v1/documents", json=body), 202)
        await running(client, one["task_id"])

        async def begun() -> bool:
            return bool((await client.task(one["task_id"]))["progress"] > 0)

        await until(begun)
        platform.kill(await worker_of(platform, one["task_id"]))
        task = await client.ended(one["task_id"], within_s=200)
        assert task["status"] == "succeeded" and task["losses"] == 1, task
        assert 0 < task["result"]["embedded"] < task["result"]["chunks"]
        async with record(platform) as connection:
            count = "SELECT count(*) FROM vectors WHERE collection_name = 'long' AND content_hash IS NOT NULL"
            assert await connection.fetchval(count) == task["result"]["chunks"]

    play(platform, scenario, within_s=300)


def test_a_cancelled_task_ends_indexing_and_its_retry_goes_on(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        one = await data(await client.http.post("/api/v1/documents", json={"text": LONG, "collection": "cut"}), 202)
        await running(client, one["task_id"])
        assert (await document(client, one["document_id"]))["status"] == "indexing"
        task = f"/api/v1/tasks/{one['task_id']}"
        assert (await data(await client.http.post(f"{task}/cancel")))["status"] == "cancelled"
        found = await document(client, one["document_id"])
        assert (found["status"], found["error"]["code"]) == ("failed", "CANCELLED")
        again = await data(await client.http.post(f"{task}/retry"), 202)
        assert (await client.ended(again["task_id"], within_s=200))["status"] == "succeeded"
        found = await document(client, one["document_id"])
        assert (found["status"], found["task_id"], found["error"]) == ("indexed", again["task_id"], None)

    play(platform, scenario, within_s=300)


def test_a_hostile_file_fails_and_says_why_and_another_is_served_after_it(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        bomb = pdf(["x"], content={0: bytes(100 << 20)})
        for content, name, why in ((bomb, "bomb.pdf", "PDF"), (b"\x89PNG\0\0", "a.txt", "none of the formats")):
            one = await upload(client, content, name)
            task = await client.ended(one["task_id"], within_s=100)
            assert (task["status"], task["error"]["code"], task["error"]["retryable"]) == (
                "failed",
                "TOOL_ERROR",
                False,
            )
            assert why in task["error"]["message"]
            found = await document(client, one["document_id"])
            assert found["status"] == "failed" and found["error"]["message"] == task["error"]["message"]
        one = await upload(client, b"All is well.", "well.txt")
        assert (await client.ended(one["task_id"], within_s=100))["status"] == "succeeded"

    play(platform, scenario, within_s=240)


def test_nobody_else_sees_a_document_and_a_deleted_one_is_gone(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        key = {"idempotency-key": "once"}
        body = {"text": "Only mine.", "metadata": {"a": [1, "b"]}}
        one = await data(await client.http.post("/api/v1/documents", json=body, headers=key), 202)
        again = await data(await client.http.post("/api/v1/documents", json=body, headers=key), 202)
        assert one == again
        await client.ended(one["task_id"], within_s=100)
        place = f"/api/v1/documents/{one['document_id']}"
        async with Client(platform.api, "mallory") as other:
            for method in ("GET", "DELETE"):
                assert (await other.http.request(method, place)).status_code == 404
            assert (await data(await other.http.get("/api/v1/documents")))["documents"] == []
        assert await data(await client.http.delete(place)) == {"document_id": one["document_id"]}
        for method in ("GET", "DELETE"):
            assert (await client.http.request(method, place)).status_code == 404
        async with record(platform) as connection:
            left = "SELECT count(*) FROM vectors WHERE vector_id LIKE $1 AND content_hash IS NOT NULL"
            assert await connection.fetchval(left, f"{one['document_id']}:%") == 0

    play(platform, scenario, within_s=150)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"text": ""},
        {"text": "x", "file": "y"},
        {"text": "x", "metadata": {"and": 1}},
        {"text": "x", "metadata": {"document_id": "mine"}},
        {"text": "x", "metadata": {"a": {"b": 1}}},
        {"text": "x", "metadata": {"a": 2**60}},
        {"text": "x", "collection": "../x"},
        {"text": "x", "title": " "},
        {"text": "x", "unknown": 1},
    ],
)
def test_what_is_no_document_is_refused(platform: Platform, body: dict[str, Any]) -> None:
    async def scenario(client: Client) -> None:
        answer = await client.http.post("/api/v1/documents", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR"), answer.text

    play(platform, scenario)


def test_too_large_a_body_is_refused_and_a_large_one_taken(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        answer = await client.http.post("/api/v1/documents", content=b"x" * (10 * (1 << 20) + 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
        one = await upload(client, b"\0" * (9 << 20), "zeros.bin")
        task = await client.ended(one["task_id"], within_s=60)
        assert task["error"]["code"] == "TOOL_ERROR"
        found = await document(client, one["document_id"])
        assert (found["size_bytes"], found["media_type"]) == (9 << 20, "application/octet-stream")

    play(platform, scenario, within_s=120)


def test_an_erased_user_leaves_no_document_and_no_file(platform: Platform) -> None:
    async def scenario(_: Client) -> None:
        async with Client(platform.api, "leaver") as client:
            me = UUID((await data(await client.http.get("/api/v1/users/me")))["id"])
            one = await upload(client, b"# Mine\n\nWhat nobody is to keep.", "mine.md")
            await client.ended(one["task_id"], within_s=100)
            folder = platform.home / "objects" / "users" / str(me)
            assert [path.name for path in folder.rglob("*") if path.is_file()] == [one["document_id"]]
            answer = await client.http.request("DELETE", "/api/v1/users/me", content=json.dumps({"password": PASSWORD}))
            assert answer.status_code == 200, answer.text

        async def gone() -> bool:
            return not folder.exists()

        await until(gone)
        async with record(platform) as connection:
            for table in ("documents", "vectors", "agent_executions"):
                assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", me) == 0, table

    play(platform, scenario, within_s=150)
