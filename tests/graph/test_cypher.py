"""Cypher that does anything but read has no effect: neither at the gate, nor, were it to pass, on the server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from shared.config import Settings
from shared.errors import Conflict, Invalid, SutazaiError, TimedOut
from shared.graph.cypher import check_reads
from shared.ports.graph import Analysis
from shared.stores.neo4j.link import Neo4jLink
from shared.wiring import Ports
from tests.contract.graph import Here, task
from tests.graph.places import opened

READS = [
    "MATCH (n) RETURN n",
    "match (n:Task)-[r:USED*1..3]->(m) where n.id = $id return n, r, m limit 5",
    "MATCH (n) RETURN n.set, n.load, n.`create` AS `delete`",
    "MATCH (n:Task {status: 'DELETE n'}) RETURN count(*) AS c // CREATE (x)",
    'OPTIONAL MATCH (n) WHERE n.title = "it\'s; LOAD CSV" RETURN n /* MERGE */',
    "UNWIND [1, 2] AS x WITH x WHERE x > 1 RETURN x, date.truncate('year', date('2026-01-01')) AS d",
    "CALL db.labels() YIELD label RETURN label",
    "MATCH (n) CALL (n) { MATCH (n)--(m) RETURN count(m) AS c } RETURN c",
    "MATCH p = shortestPath((a:User)-[*..4]-(b:Agent)) RETURN p",
    "RETURN 1 AS x UNION RETURN 2 AS x",
    "MATCH (n) WHERE EXISTS { MATCH (n)-->() } RETURN reduce(s = 0, x IN [1, 2] | s + x) AS s",
    "RETURN vector.similarity.cosine([1.0, 0.0], [1.0, 0.0]) AS s",
]

HOSTILE = [
    "CREATE (n:Evil)",
    "MERGE (n:Evil)",
    "MATCH (n) DETACH DELETE n",
    "MATCH (n) DELETE n",
    "MATCH (n) NODETACH DELETE n",
    "MATCH (n) SET n.user_id = 'x'",
    "MATCH (n) REMOVE n.user_id",
    "MATCH (n) FOREACH (x IN [1] | CREATE (:Evil))",
    "MATCH (n) RETURN n; MATCH (m) DETACH DELETE m",
    "MATCH (n) WITH n CREATE (:Evil) RETURN n",
    "MATCH (n) wItH n cReAtE (:Evil) RETURN n",
    "MATCH (n)/**/DETACH/**/DELETE/**/n",
    "MATCH (n)//\nDETACH//\nDELETE n",
    "MATCH (n) CALL (n) { CREATE (:Evil) } RETURN n",
    "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS",
    "CALL { CREATE (:Evil) } RETURN 1",
    "LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line",
    "LOAD CSV FROM 'http://127.0.0.1:1/' AS line RETURN line",
    "WITH 1 AS x LOAD CSV FROM 'http://127.0.0.1:1/' AS line RETURN line",
    "WITH 1 AS x LO\\u0041D CSV FROM 'http://127.0.0.1:1/' AS line RETURN line",
    "WITH 1 AS x CRE\\u0041TE (:Evil) RETURN x",
    "MATCH (n) WHERE n.id = 'a\\u0027 CREATE (:Evil) RETURN n",
    "CALL dbms.listConfig()",
    "CALL dbms.listConfig() YIELD name RETURN name",
    "CALL dbms . listConfig ()",
    "CALL `dbms`.`listConfig`()",
    "CALL `dbms.listConfig`()",
    "CALL/**/dbms.listConfig()",
    "CALL dbms.killQueries(['x'])",
    "CALL dbms.setConfigValue('dbms.security.auth_enabled', 'false')",
    "CALL db.createLabel('Evil')",
    "CALL db.clearQueryCaches()",
    "CALL tx.setMetaData({a: 1})",
    "CALL apoc.load.json('http://127.0.0.1:1/')",
    "OPTIONAL CALL dbms.listConfig() YIELD name RETURN name",
    "MATCH (n) RETURN apoc.create.uuid()",
    "MATCH (n) RETURN `apoc`.create.uuid()",
    "MATCH (n) RETURN genai.vector.encode('x', 'OpenAI', {})",
    "SHOW USERS",
    "SHOW DATABASES",
    "SHOW SETTINGS",
    "SHOW TRANSACTIONS",
    "TERMINATE TRANSACTIONS 'neo4j-transaction-1'",
    "CREATE USER eve SET PASSWORD 'evil-evil' CHANGE NOT REQUIRED",
    "ALTER CURRENT USER SET PASSWORD FROM 'only-for-tests' TO 'evil-evil'",
    "ALTER USER neo4j SET PASSWORD 'evil-evil'",
    "DROP USER neo4j",
    "DROP CONSTRAINT graph_node",
    "DROP INDEX graph_star",
    "CREATE INDEX evil FOR (n:Node) ON (n.evil)",
    "CREATE DATABASE evil",
    "START DATABASE neo4j",
    "STOP DATABASE neo4j",
    "USE system SHOW USERS",
    "EXPLAIN CREATE (:Evil)",
    "PROFILE CREATE (:Evil)",
    "CYPHER runtime=slotted CREATE (:Evil)",
    "INSERT (:Evil)",
    ":use system",
    "",
    " ",
    "// MATCH (n) RETURN n",
    "MATCH (n) RETURN n \\",
    "MATCH (n) RETURN 'open",
    "MATCH (n) RETURN `open",
    "MATCH (n) /* RETURN n",
    "MATCH (n)\u00a0CREATE (:Evil) RETURN n",
    "MATCH (n)\u2003DETACH DELETE n",
    "MATCH (n) \u0421REATE (:Evil)",
    "MATCH (n)\x1cSET n.x = 1",
]


@pytest.mark.parametrize("query", READS)
def test_what_only_reads_passes(query: str) -> None:
    check_reads(query)


@pytest.mark.parametrize("query", HOSTILE)
def test_what_does_more_is_refused(query: str) -> None:
    with pytest.raises(Invalid):
        check_reads(query)


def test_a_query_has_an_end() -> None:
    with pytest.raises(Invalid):
        check_reads("RETURN " + "1 + " * 5000 + "1")


def analysing(settings: Settings, url: str, scenario: Callable[[Here, Analysis, Neo4jLink], Awaitable[Any]]) -> None:
    async def main() -> None:
        there = replace(settings, neo4j_url=url)
        async with asyncio.timeout(200), opened(there) as here, Ports(there) as ports:
            await scenario(here, await ports.open(Analysis), await ports.open(Neo4jLink))

    asyncio.run(main())


async def ask(here: Here, analysis: Analysis, query: str, *, limit: int = 10, **parameters: Any) -> Any:
    return await analysis.query(here.ada, query, parameters, limit=limit, timeout_s=5)


def test_a_query_sees_all_users_within_bounds_and_is_on_record(settings: Settings, neo4j_url: str) -> None:
    async def scenario(here: Here, analysis: Analysis, link: Neo4jLink) -> None:
        await here.put(*(task(here.ada, f"t{n}", tool="echo") for n in range(20)), task(here.bob, "his", tool="echo"))
        found = await ask(here, analysis, "MATCH (n:Task) WHERE n.tool = $tool RETURN count(n) AS c", tool="echo")
        assert (found.columns, found.rows, found.truncated) == (["c"], [[21]], False)
        found = await ask(here, analysis, "MATCH (n:Task {user_id: $u}) RETURN n.id, n", u=str(here.bob))
        assert found.rows[0][0] == "his" and found.rows[0][1]["labels"] == ["Node", "Task"]
        found = await ask(here, analysis, "UNWIND range(1, 100000000) AS x RETURN x", limit=3)
        assert (found.rows, found.truncated) == ([[1], [2], [3]], True)
        found = await ask(here, analysis, "RETURN date('2026-01-02') AS d, 0.0/0.0 AS n, [1, {a: null}] AS l")
        assert found.rows == [["2026-01-02", None, [1, {"a": None}]]]
        for query in READS:
            await ask(here, analysis, query, id="t1")
        slow = "UNWIND range(1, 1000000) AS x UNWIND range(1, 1000000) AS y RETURN count(x + y) AS c"
        with pytest.raises(TimedOut):
            await analysis.query(here.ada, slow, {}, limit=1, timeout_s=0.5)
        for wrong in ("MATCH (n RETURN n", "RETURN $missing", "RETURN 1/0", "RETURN toInteger([1])"):
            with pytest.raises(Invalid):
                await ask(here, analysis, wrong)
        with pytest.raises(Invalid):
            await ask(here, analysis, "SHOW USERS")
        acts = await here.database.fetch("SELECT actor, object, outcome FROM audit_log WHERE action = 'graph.analyse'")
        assert {row["actor"] for row in acts} == {f"user:{here.ada}"}
        assert ("SHOW USERS", "refused") in {(row["object"], row["outcome"]) for row in acts}

    analysing(settings, neo4j_url, scenario)


def test_nothing_hostile_has_an_effect_on_the_server(settings: Settings, neo4j_url: str) -> None:
    async def scenario(here: Here, analysis: Analysis, link: Neo4jLink) -> None:
        await here.put(task(here.ada, "t1"), task(here.bob, "t1"))
        state = (
            "MATCH (n) OPTIONAL MATCH (n)-[r]->() RETURN elementId(n) AS id, properties(n) AS p, count(r) AS c"
            " ORDER BY id"
        )
        before = [row.data() for row in await link.alone(state)]
        schema = sorted(row["name"] for row in await link.alone("SHOW INDEXES"))
        for query in HOSTILE:
            with pytest.raises(SutazaiError):
                await ask(here, analysis, query)
        # Values are never read as Cypher.
        for query in HOSTILE:
            found = await ask(here, analysis, "RETURN $value AS value", value=query)
            assert found.rows == [[query]]
        assert [row.data() for row in await link.alone(state)] == before
        assert sorted(row["name"] for row in await link.alone("SHOW INDEXES")) == schema
        assert [row["user"] for row in await link.alone("SHOW USERS")] == ["neo4j"]

    analysing(settings, neo4j_url, scenario)


def test_in_postgresql_there_is_no_cypher(settings: Settings) -> None:
    async def main() -> None:
        async with Ports(settings) as ports:
            analysis = await ports.open(Analysis)
            with pytest.raises(Conflict, match="knows no Cypher"):
                await analysis.query(UUID(int=1), "MATCH (n) RETURN n", {}, limit=1, timeout_s=1)

    asyncio.run(main())
