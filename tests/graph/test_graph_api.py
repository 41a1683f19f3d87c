"""The knowledge graph of the running platform, through its API."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from events.documents import DocumentIndexed, DocumentReceived
from tests.system.platform import PASSWORD, Client, Platform
from tests.system.tasks import play, record

SAID = "what the first of three tasks has been told, at some length"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="sutazai-graph-") as folder:
        Path(folder).chmod(0o755)
        admin = {"SUTAZAI_ADMIN_EMAIL": "root@example.org", "SUTAZAI_ADMIN_PASSWORD": PASSWORD}
        with Platform(Path(folder) / "home", **admin) as running:
            yield running


async def get(client: Client, path: str, **query: object) -> Any:
    answer = await client.http.get(f"/api/v1/graph{path}", params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def publish(platform: Platform, *events: DocumentReceived | DocumentIndexed) -> None:
    async with record(platform) as connection:
        for event in events:
            await connection.execute(
                "INSERT INTO events (type, source, subject, user_id, data) VALUES ($1, '/functions/test', $2, $3, $4)",
                event.type,
                str(event.document_id),
                event.user_id,
                event.model_dump_json(),
            )


async def done(client: Client, agent: str, tool: str, parameters: dict[str, Any]) -> dict[str, Any]:
    accepted = await client.execute(agent, tool, parameters)
    task = await client.ended(accepted["task_id"])
    assert task["status"] == "succeeded", task
    return task


def texts(value: Any) -> list[str]:
    """The long ones of a result, wherever they stand."""
    if isinstance(value, str):
        return [value] if len(value) >= 24 else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in texts(item)]


async def appears(client: Client, path: str, **query: object) -> Any:
    """What follows the record does so a moment later; the scenario's deadline bounds the wait."""
    while True:
        answer = await client.http.get(f"/api/v1/graph{path}", params={k: str(v) for k, v in query.items()})
        if answer.status_code == 200:
            return answer.json()["data"]
        assert answer.status_code == 404, answer.text
        await asyncio.sleep(0.05)


def test_a_document_of_three_tasks_of_three_agents_has_their_provenance(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        me = UUID((await client.http.get("/api/v1/users/me")).json()["data"]["id"])
        first = await done(client, "everything", "echo", {"message": SAID})
        (echoed,) = texts(first["result"])[:1]
        second = await done(client, "filesystem", "write_file", {"path": "/notes.txt", "content": f"  {echoed}\n"})
        third = await done(
            client,
            "memory",
            "create_entities",
            {"entities": [{"name": "it", "entityType": "note", "observations": [json.dumps(second["result"])]}]},
        )
        stranger = await done(client, "everything", "echo", {"message": "nothing that anybody else was given"})
        document = uuid4()
        about = {"document_id": document, "user_id": me, "task_id": UUID(third["task_id"]), "title": "A report"}
        await publish(
            platform,
            DocumentReceived(**about, collection="notes"),
            DocumentIndexed(**about, collection="notes", chunks=3),
        )
        found = await appears(client, f"/provenance/{document}")
        while found["document"]["properties"]["status"] != "indexed":
            await asyncio.sleep(0.05)
            found = await get(client, f"/provenance/{document}")
        ids = [task["task_id"] for task in (third, second, first)]
        assert [(one["task_id"], one["agent"], one["depth"]) for one in found["origins"]] == [
            (ids[0], "memory", 1),
            (ids[1], "filesystem", 2),
            (ids[2], "everything", 3),
        ]
        assert [one["used"] for one in found["origins"]] == [[ids[1]], [ids[2]], []]
        assert found["origins"][0]["made"] == [str(document)]
        assert found["document"]["properties"] == {
            "title": "A report",
            "collection": "notes",
            "chunks": 3,
            "status": "indexed",
        }
        assert stranger["task_id"] not in json.dumps(found) and not found["truncated"]
        chunks = await get(client, f"/nodes/{document}/neighbours", kinds="Chunk,Document")
        assert len(chunks["nodes"]) == 4
        way = await get(client, "/path", source=f"{document}:0", target=ids[2])
        assert [edge["type"] for edge in way["edges"]] == ["OWNS", "OWNS", "CREATED"]
        way = await get(client, "/path", source=ids[0], target=ids[2])
        assert len(way["edges"]) == 2
        ranked = await get(client, "/centrality", kinds="Agent", limit=10)
        assert {one["node"]["id"] for one in ranked["nodes"]} == {"everything", "filesystem", "memory"}
        groups = await get(client, "/communities")
        (mine,) = [one for one in groups["communities"] if str(document) in {each["id"] for each in one["members"]}]
        assert {f"{document}:{number}" for number in range(3)} <= {each["id"] for each in mine["members"]}
        assert await get(client, f"/similar/{document}") == {"similar": []}
        async with Client(platform.api, "mallory") as other:
            for path in (f"/provenance/{document}", f"/nodes/{ids[0]}", f"/nodes/{me}", f"/similar/{document}"):
                answer = await other.http.get(f"/api/v1/graph{path}")
                assert answer.status_code == 404, path
            answer = await other.http.post("/api/v1/graph/cypher", json={"query": "MATCH (n) RETURN n"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")

    play(platform, scenario, within_s=150)


TIDES = "The tides rise and fall twice a day. The moon pulls the sea, and spring tides come at new moon and full moon."


def test_documents_that_say_much_the_same_are_alike_until_one_is_deleted(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        async def added(title: str, text: str) -> str:
            answer = await client.http.post("/api/v1/documents", json={"title": title, "text": text})
            assert answer.status_code == 202, answer.text
            document_id: str = answer.json()["data"]["document_id"]
            return document_id

        async def alike(document_id: str) -> list[str]:
            found = await appears(client, f"/similar/{document_id}")
            return [one["document"]["id"] for one in found["similar"]]

        about = await added("A book of tides", TIDES)
        again = await added("The harbour", f"{TIDES} See also A Book of Tides, told by the http-fetch agent.")
        other = await added("Cooking", "Cut the onions, melt the butter, and let the flour brown before milk is added.")
        while await alike(about) != [again] or await alike(again) != [about]:
            await asyncio.sleep(0.2)
        named: set[str] = set()
        while {about, "http-fetch"} - named:
            await asyncio.sleep(0.1)
            near = await get(client, f"/nodes/{again}/neighbours", kinds="Document,Agent")
            named = {edge["target"] for edge in near["edges"] if edge["type"] == "MENTIONS"}
        assert await alike(other) == []
        made = await appears(client, f"/provenance/{about}")
        assert [(one["agent"], one["made"], one["used"]) for one in made["origins"]] == [("documents", [about], [])]
        answer = await client.http.delete(f"/api/v1/documents/{again}")
        assert answer.status_code in (200, 202, 204), answer.text
        while await alike(about):
            await asyncio.sleep(0.1)
        while (await client.http.get(f"/api/v1/graph/nodes/{again}")).status_code != 404:
            await asyncio.sleep(0.1)

    play(platform, scenario, within_s=150)


def test_an_input_that_names_a_task_has_used_it(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        first = await done(client, "everything", "echo", {"message": "short"})
        named = f"see {first['task_id']}, please"
        second = await done(client, "everything", "echo", {"message": named})
        found: dict[str, Any] = {"edges": []}
        while [edge["type"] for edge in found["edges"] if edge["target"] == first["task_id"]] != ["USED"]:
            await asyncio.sleep(0.05)
            found = await appears(client, f"/nodes/{second['task_id']}/neighbours", kinds="Task")

    play(platform, scenario, within_s=100)


def test_whoever_is_erased_leaves_nothing_in_the_graph(platform: Platform) -> None:
    async def scenario(client: Client) -> None:
        async with Client(platform.api, "zoe") as zoe:
            me = (await zoe.http.get("/api/v1/users/me")).json()["data"]["id"]
            task = await done(zoe, "everything", "echo", {"message": SAID})
            await appears(zoe, f"/nodes/{task['task_id']}")
            answer = await zoe.http.request("DELETE", "/api/v1/users/me", json={"password": PASSWORD})
            assert answer.status_code in (200, 204), answer.text
        async with record(platform) as connection:
            for table in ("graph_stars", "graph_outputs", "graph_nodes", "graph_edges"):
                left = await connection.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", UUID(me))
                assert (table, left) == (table, 0)

    play(platform, scenario, within_s=100)


def test_cypher_is_answered_where_the_graph_lies_in_neo4j_alone(platform: Platform) -> None:
    async def scenario(_: Client) -> None:
        async with httpx.AsyncClient(base_url=platform.api, timeout=30, trust_env=False) as root:
            login = {"email": "root@example.org", "password": PASSWORD}
            token = (await root.post("/api/v1/auth/login", json=login)).json()["data"]["access_token"]
            root.headers["authorization"] = f"Bearer {token}"
            answer = await root.post("/api/v1/graph/cypher", json={"query": "MATCH (n) RETURN n"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")
            assert "SUTAZAI_NEO4J_URL" in answer.json()["error"]["message"]

    play(platform, scenario)


@pytest.mark.parametrize(
    "path",
    [
        "/nodes/a b",
        "/nodes/%27",
        "/nodes/" + "x" * 101,
        "/nodes/a/neighbours?depth=5",
        "/nodes/a/neighbours?depth=0",
        "/nodes/a/neighbours?kinds=Password",
        "/nodes/a/neighbours?kinds=Task,",
        "/nodes/a/neighbours?kinds=Task%60)%20DETACH%20DELETE%20n",
        "/nodes/a/neighbours?limit=201",
        "/path?source=a",
        "/path?source=a&target=b&depth=11",
        "/provenance/a",
        "/similar/a",
        "/centrality?limit=0",
        "/communities?kinds=",
    ],
)
def test_what_cannot_be_a_node_is_refused(platform: Platform, path: str) -> None:
    async def scenario(client: Client) -> None:
        answer = await client.http.get(f"/api/v1/graph{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")

    play(platform, scenario)
