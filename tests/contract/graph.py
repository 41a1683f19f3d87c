"""What every engine of the knowledge graph keeps. A module that runs this has a fixture `graphs`, and imports these
tests with `*`."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.errors import Conflict, NotFound
from shared.graph.following import Follower
from shared.graph.provenance import provenance
from shared.graph.stars import similar_star
from shared.graph.walking import neighbours, path, similar
from shared.ports.graph import (
    RELATIONS,
    Edge,
    Facts,
    Gathering,
    Graph,
    GraphEdge,
    GraphEngine,
    GraphNode,
    Node,
    Ref,
    Star,
    Subgraph,
)
from shared.stores.postgres.database import Database


@dataclass
class Here:
    """The record, one engine that follows it, and two users."""

    database: Database
    facts: Facts
    gathering: Gathering
    engine: GraphEngine
    graph: Graph
    ada: UUID
    bob: UUID

    def follower(self) -> Follower:
        return Follower(facts=self.facts, gathering=self.gathering, engine=self.engine)

    async def put(self, *stars: Star) -> None:
        await self.facts.put(stars)
        await self.follower().turn()

    async def whole(self, user_id: UUID) -> Subgraph:
        return await self.graph.whole(user_id, most_nodes=1000, most_edges=1000)


Opened = Callable[[], AbstractAsyncContextManager[Here]]


def play(opened: Opened, scenario: Callable[[Here], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(180), opened() as here:
            await scenario(here)

    asyncio.run(main())


def task(user: UUID, id: str, *used: str, agent: str = "everything", version: int = 1, **properties: str) -> Star:
    me = Ref("Task", id)
    return Star(
        user_id=user,
        subject="Task",
        id=id,
        version=version,
        nodes=(Node("Task", id, properties),),
        edges=(
            Edge("CREATED", Ref("User", str(user)), me),
            Edge("EXECUTES", Ref("Agent", agent), me),
            *(Edge("USED", me, Ref("Document" if one.startswith("d") else "Task", one)) for one in used),
        ),
    )


def document(user: UUID, id: str, maker: str | None = None, version: int = 1) -> Star:
    me = Ref("Document", id)
    made = () if maker is None else (Edge("PRODUCES", Ref("Task", maker), me),)
    nodes = (Node("Document", id, {"title": id.upper(), "chunks": 1}), Node("Chunk", f"{id}:0", {"position": 0}))
    edges = (Edge("OWNS", Ref("User", str(user)), me), Edge("OWNS", me, Ref("Chunk", f"{id}:0")), *made)
    return Star(user_id=user, subject="Document", id=id, version=version, nodes=nodes, edges=edges)


def conversation(user: UUID, id: str, *tasks: str) -> Star:
    me = Ref("Conversation", id)
    edges = tuple(Edge("PARTICIPATES_IN", Ref("Task", one), me) for one in tasks)
    return Star(user_id=user, subject="Conversation", id=id, version=1, nodes=(Node("Conversation", id),), edges=edges)


def ids(found: Subgraph) -> set[str]:
    return {node.id for node in found.nodes}


def said(found: Subgraph) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.type, edge.target) for edge in found.edges}


def test_what_a_star_says_is_there_and_read_back_whole(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1", tool="echo", status="succeeded"))
        assert await here.graph.nodes(here.ada, ["t1", "none"]) == [
            GraphNode(id="t1", kind="Task", properties={"tool": "echo", "status": "succeeded"})
        ]
        whole = await here.whole(here.ada)
        owner = str(here.ada)
        assert ids(whole) == {"t1", "everything", owner} and not whole.truncated
        assert whole.edges == sorted(
            [
                GraphEdge(type="CREATED", source=owner, target="t1"),
                GraphEdge(type="EXECUTES", source="everything", target="t1"),
            ],
            key=lambda edge: (edge.source, edge.type, edge.target),
        )

    play(graphs, scenario)


def test_a_newer_version_takes_the_place_of_the_older_and_never_the_other_way_round(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t0"), task(here.ada, "t1", "t0", version=2, status="succeeded"))
        await here.put(task(here.ada, "t1", version=1, status="queued"))
        (held,) = await here.graph.nodes(here.ada, ["t1"])
        assert held.properties == {"status": "succeeded"}
        await here.put(task(here.ada, "t1", version=3, agent="memory", status="failed"))
        whole = await here.whole(here.ada)
        assert ("t1", "USED", "t0") not in said(whole) and ("memory", "EXECUTES", "t1") in said(whole)
        assert [node.properties for node in whole.nodes if node.id == "t1"] == [{"status": "failed"}]

    play(graphs, scenario)


def test_what_is_said_twice_changes_nothing(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1"), document(here.ada, "d1", "t1"))
        before, at = await here.whole(here.ada), await here.follower().turn()
        await here.put(task(here.ada, "t1"), document(here.ada, "d1", "t1"), task(here.ada, "t1"))
        assert await here.whole(here.ada) == before
        assert await here.follower().turn() == at

    play(graphs, scenario)


def test_the_order_in_which_stars_come_makes_no_difference(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        stars = [task(here.ada, f"t{n}", *(f"t{m}" for m in range(n))) for n in range(6)]
        stars += [document(here.ada, "d1", "t5"), conversation(here.ada, "c1", "t1", "t2")]
        await here.put(*stars)
        wanted = await here.whole(here.ada)
        random.Random(7).shuffle(stars)
        for star in stars:
            await here.put(Star(user_id=here.bob, subject=star.subject, id=star.id, version=star.version))
            theirs = [
                Ref(e.kind, str(here.bob)) if e.kind == "User" else e for x in star.edges for e in (x.source, x.target)
            ]
            edges = tuple(Edge(x.type, theirs[2 * n], theirs[2 * n + 1], x.score) for n, x in enumerate(star.edges))
            moved = Star(user_id=here.bob, subject=star.subject, id=star.id, version=2, nodes=star.nodes, edges=edges)
            await here.put(moved)
        found = await here.whole(here.bob)
        assert ids(found) - {str(here.bob)} == ids(wanted) - {str(here.ada)}
        assert {(a, b, c) for a, b, c in said(found) if a != str(here.bob)} == {
            (a, b, c) for a, b, c in said(wanted) if a != str(here.ada)
        }

    play(graphs, scenario)


def test_a_star_that_is_taken_away_leaves_what_others_say(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1"), document(here.ada, "d1", "t1"), task(here.ada, "t2", "d1"))
        await here.put(Star(user_id=here.ada, subject="Document", id="d1", version=2))
        whole = await here.whole(here.ada)
        assert ("t2", "USED", "d1") in said(whole) and ("t1", "PRODUCES", "d1") not in said(whole)
        assert "d1:0" not in ids(whole)
        assert [node.properties for node in whole.nodes if node.id == "d1"] == [{}]
        await here.put(Star(user_id=here.ada, subject="Task", id="t2", version=2))
        assert ids(await here.whole(here.ada)) == {"t1", "everything", str(here.ada)}

    play(graphs, scenario)


def test_users_see_nothing_of_one_another_though_they_name_the_same_ids(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1", "t2", tool="hers"), task(here.bob, "t2", "t1", tool="his"))
        hers, his = await here.whole(here.ada), await here.whole(here.bob)
        assert str(here.bob) not in ids(hers) and str(here.ada) not in ids(his)
        assert [node.properties for node in hers.nodes if node.id == "t2"] == [{}]
        assert await here.graph.nodes(here.bob, [str(here.ada)]) == []
        found = await here.graph.edges(here.bob, ["t1"], direction="both", relations=RELATIONS, limit=10)
        assert found == [GraphEdge(type="USED", source="t2", target="t1")]
        with pytest.raises(NotFound):
            await path(here.graph, here.ada, "t1", str(here.bob), longest=10)

    play(graphs, scenario)


def test_whoever_is_erased_is_gone_and_others_stay(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1"), task(here.bob, "t1"))
        kept = await here.whole(here.bob)
        await here.database.execute("DELETE FROM users WHERE id = $1", here.ada)
        await here.database.execute("INSERT INTO graph_erasures SELECT $1, seq + 1 FROM graph_state", here.ada)
        await here.database.execute("UPDATE graph_state SET seq = seq + 1")
        await here.put(task(here.ada, "late"))
        assert (await here.whole(here.ada)).nodes == []
        assert await here.whole(here.bob) == kept
        assert (await here.follower().sweep()).differing == 0

    play(graphs, scenario)


def test_edges_have_directions_and_types_and_a_bound_for_each_node(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(*(task(here.ada, f"t{n}", "hub", agent=f"a{n}") for n in range(12)), task(here.ada, "x", "y"))
        found = await here.graph.edges(here.ada, ["hub", "y"], direction="in", relations=["USED"], limit=5)
        assert sorted(edge.target for edge in found) == ["hub"] * 5 + ["y"]
        assert await here.graph.edges(here.ada, ["hub"], direction="out", relations=RELATIONS, limit=5) == []
        assert await here.graph.edges(here.ada, ["hub"], direction="in", relations=["OWNS"], limit=5) == []
        both = await here.graph.edges(here.ada, ["x", "y"], direction="both", relations=["USED"], limit=5)
        assert both == [GraphEdge(type="USED", source="x", target="y")]

    play(graphs, scenario)


def test_neighbours_are_the_nearest_first_of_the_kinds_and_no_more_than_asked_for(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(*(task(here.ada, f"t{n}", f"t{n + 1}") for n in range(5)), document(here.ada, "d1", "t0"))
        near = await neighbours(here.graph, here.ada, "t0", depth=2, kinds=["Task", "Document"], limit=50)
        assert [node.id for node in near.nodes] == ["t0", "d1", "t1", "t2"] and not near.truncated
        assert said(near) == {("t0", "PRODUCES", "d1"), ("t0", "USED", "t1"), ("t1", "USED", "t2")}
        few = await neighbours(here.graph, here.ada, "t0", depth=4, kinds=["Task"], limit=2)
        assert [node.id for node in few.nodes] == ["t0", "t1", "t2"] and few.truncated
        with pytest.raises(NotFound):
            await neighbours(here.graph, here.bob, "t0", depth=1, kinds=["Task"], limit=2)

    play(graphs, scenario)


def test_what_is_not_of_the_kinds_takes_no_place_from_what_is(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        owner = str(here.ada)
        await here.put(*(task(here.ada, f"t{n:02}", "d1") for n in range(30)), document(here.ada, "d1", "t07"))
        near = await neighbours(here.graph, here.ada, owner, depth=1, kinds=["Document"], limit=3)
        assert [node.id for node in near.nodes] == [owner, "d1"] and not near.truncated
        near = await neighbours(here.graph, here.ada, "d1", depth=2, kinds=["Chunk", "User"], limit=3)
        assert [node.id for node in near.nodes] == ["d1", owner, "d1:0"] and not near.truncated
        found = await here.graph.edges(
            here.ada, ["d1"], direction="both", relations=RELATIONS, kinds=["Chunk"], limit=1
        )
        assert found == [GraphEdge(type="OWNS", source="d1", target="d1:0")]
        assert await here.graph.edges(here.ada, ["d1"], direction="in", relations=["OWNS"], kinds=[], limit=1) == []

    play(graphs, scenario)


def test_a_node_with_very_many_neighbours_leaves_room_for_those_of_others(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        crowd = [task(here.ada, f"a{n:03}", "hub") for n in range(120)]
        few = [task(here.ada, f"b{n}", "other") for n in range(5)]
        await here.put(*crowd, *few, task(here.ada, "start", "hub", "other", agent="memory"))
        near = await neighbours(here.graph, here.ada, "start", depth=2, kinds=["Task"], limit=20)
        assert [node.id for node in near.nodes[:3]] == ["start", "hub", "other"]
        assert len(near.nodes) == 21 and near.truncated
        # None of many that could be shown is missing while there is room.
        near = await neighbours(here.graph, here.ada, "start", depth=2, kinds=["Task"], limit=100)
        assert {f"b{n}" for n in range(5)} <= ids(near) and len(near.nodes) == 101 and near.truncated
        near = await neighbours(here.graph, here.ada, "start", depth=2, kinds=["Task"], limit=200)
        assert len(near.nodes) == 1 + 2 + 120 + 5 and not near.truncated
        assert ("start", "USED", "hub") in said(near) and ("b4", "USED", "other") in said(near)

    play(graphs, scenario)


def test_a_path_is_a_shortest_one(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        chain = [task(here.ada, f"t{n}", f"t{n + 1}", agent=f"a{n}") for n in range(6)]
        without = [
            Star(user_id=one.user_id, subject="Task", id=one.id, version=1, nodes=one.nodes, edges=one.edges[1:])
            for one in chain
        ]
        await here.put(*without)
        found = await path(here.graph, here.ada, "a0", "t6", longest=7)
        assert [node.id for node in found.nodes] == ["a0", "t0", "t1", "t2", "t3", "t4", "t5", "t6"]
        assert [edge.type for edge in found.edges] == ["EXECUTES"] + ["USED"] * 6
        with pytest.raises(NotFound, match="no path of 6 steps"):
            await path(here.graph, here.ada, "a0", "t6", longest=6)
        await here.put(task(here.ada, "short", "a", agent="a0"), task(here.ada, "t6", "short", version=2))
        found = await path(here.graph, here.ada, "a0", "t6", longest=6)
        assert [node.id for node in found.nodes] == ["a0", "short", "t6"]
        alone = await path(here.graph, here.ada, "t3", "t3", longest=3)
        assert (ids(alone), alone.edges) == ({"t3"}, [])

    play(graphs, scenario)


def test_provenance_goes_back_to_the_first_task_whatever_lies_between(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(
            task(here.ada, "t1", agent="memory"),
            document(here.ada, "d1", "t1"),
            task(here.ada, "t2", "d1", agent="everything"),
            task(here.ada, "t3", "t2", agent="filesystem"),
            document(here.ada, "d2", "t3"),
            conversation(here.ada, "c1", "t3"),
            task(here.ada, "later", "d2"),
        )
        found = await provenance(here.graph, here.ada, "d2", depth=10)
        assert [(one.task_id, one.depth, one.agent) for one in found.origins] == [
            ("t3", 1, "filesystem"),
            ("t2", 2, "everything"),
            ("t1", 3, "memory"),
        ]
        assert [(one.used, one.conversations) for one in found.origins] == [(["t2"], ["c1"]), (["d1"], []), ([], [])]
        assert "later" not in {node.id for node in found.nodes} and not found.truncated
        short = await provenance(here.graph, here.ada, "d2", depth=1)
        assert [one.task_id for one in short.origins] == ["t3"] and short.truncated
        for nobody in ("t1", "d9"):
            with pytest.raises(NotFound):
                await provenance(here.graph, here.ada, nobody, depth=1)

    play(graphs, scenario)


def test_similar_documents_are_the_best_first_seen_from_either(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        one, *others = [UUID(int=number) for number in range(1, 31)]
        await here.put(*(document(here.ada, str(each)) for each in (one, *others)))
        scores = {other: 0.5 + number / 100 for number, other in enumerate(others)}
        await here.put(similar_star(here.ada, one, scores))
        found = await similar(here.graph, here.ada, str(one), limit=19)
        assert [score for _, score in found] == [round(0.78 - number / 100, 6) for number in range(19)]
        back = await similar(here.graph, here.ada, str(others[28]), limit=5)
        assert [(node.id, score) for node, score in back] == [(str(one), 0.78)]
        await here.put(similar_star(here.ada, one, {others[0]: 0.9, one: 1.0}))
        found = await similar(here.graph, here.ada, str(one), limit=50)
        assert [(node.id, score) for node, score in found] == [(str(others[0]), 0.9)]

    play(graphs, scenario)


def test_a_rebuild_fills_a_new_generation_and_swaps_it_in(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(*(task(here.ada, f"t{n}", f"t{n + 1}") for n in range(40)), task(here.bob, "t1"))
        before, wanted = await here.engine.live(), await here.whole(here.ada)
        after = await here.follower().rebuild()
        assert before is not None and after.number > before.number
        assert await here.engine.live() == after
        assert await here.whole(here.ada) == wanted
        with pytest.raises(NotFound):
            await here.engine.sums(before.number)
        # What was applied to the old one comes too late.
        with pytest.raises(NotFound):
            await here.engine.apply(before.number, [], after_seq=before.applied_seq, upto_seq=before.applied_seq + 1)
        await here.put(task(here.ada, "afterwards"))
        assert "afterwards" in ids(await here.whole(here.ada))

    play(graphs, scenario)


def test_a_rebuild_that_was_broken_off_leaves_nothing(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1"))
        live = await here.engine.live()
        begun = await here.engine.begin()
        changes = await here.facts.since(0, limit=10)
        await here.engine.apply(begun.number, changes, after_seq=0, upto_seq=changes[-1].seq)
        assert await here.engine.live() == live
        assert ids(await here.whole(here.ada)) == {"t1", "everything", str(here.ada)}
        await here.engine.begin()
        with pytest.raises(NotFound):
            await here.engine.sums(begun.number)

    play(graphs, scenario)


def test_of_two_who_apply_the_same_one_is_told_so(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1"))
        at = await here.engine.live()
        assert at is not None
        with pytest.raises(Conflict):
            await here.engine.apply(at.number, [], after_seq=at.applied_seq - 1, upto_seq=at.applied_seq + 1)
        assert await here.engine.live() == at

    play(graphs, scenario)


def test_drift_of_every_kind_is_repaired_and_only_what_differs_is_touched(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(*(task(here.ada, f"t{n}", f"t{n + 1}") for n in range(100)))
        wanted = await here.whole(here.ada)
        at = await here.engine.live()
        assert at is not None
        changes = {change.star.id: change for change in await here.facts.since(0, limit=500)}  # type: ignore[union-attr]
        lost, other = changes["t10"], changes["t20"]
        await here.engine.forget(at.number, [lost.number])  # type: ignore[union-attr]
        # A star that the record has never had, and one that says something else.
        ghost = task(here.ada, "ghost", "t5")
        stale = task(here.ada, "t20", "t5")
        tampered = [
            type(other)(number=999_999, seq=other.seq, star=ghost),  # type: ignore[call-arg]
            type(other)(number=other.number, seq=other.seq, star=stale),  # type: ignore[call-arg, union-attr]
        ]
        await here.engine.apply(at.number, tampered, after_seq=at.applied_seq, upto_seq=at.applied_seq)
        assert await here.whole(here.ada) != wanted
        drift = await here.follower().sweep()
        assert (drift.differing, drift.repaired, drift.is_repaired, drift.generation) == (3, 3, True, at.number)
        assert await here.whole(here.ada) == wanted
        again = await here.follower().sweep()
        assert (again.differing, again.repaired) == (0, 0)

    play(graphs, scenario)


def test_the_engines_sums_are_the_records(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(*(task(here.ada, f"t{n}", f"t{n + 1}", "d1") for n in range(30)), document(here.ada, "d1"))
        await here.put(*(task(here.ada, f"t{n}", version=2) for n in range(10)))
        at = await here.follower().turn()
        assert await here.engine.sums(at.number) == await here.facts.sums(upto_seq=at.applied_seq)

    play(graphs, scenario)


def test_an_engine_that_knows_more_than_the_record_is_built_anew(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1"))
        at = await here.engine.live()
        assert at is not None
        await here.engine.apply(at.number, [], after_seq=at.applied_seq, upto_seq=at.applied_seq + 1000)
        after = await here.follower().turn()
        assert (after.number > at.number, after.applied_seq) == (True, at.applied_seq)
        assert "t1" in ids(await here.whole(here.ada))

    play(graphs, scenario)


HOSTILE = [
    "t1') DETACH DELETE n //",
    "'}) MATCH (x) DETACH DELETE x //",
    '"}) MATCH (x) DETACH DELETE x //',
    "`) MATCH (x) DETACH DELETE x //",
    "t1'; DROP TABLE graph_nodes; --",
    "t1' OR '1'='1",
    "t1' OR 1=1 --",
    "') OR true --",
    "1/" + "0" * 36,
    "../../etc/passwd",
    "%' OR id LIKE '%",
    "$user_id",
    "$1",
    "{id}",
    "{{generation}}",
    "\\u0027}) MATCH (x) DETACH DELETE x //",
    "\\'}) MATCH (x) DETACH DELETE x //",
    "t1}) RETURN 1 UNION MATCH (n) RETURN n //",
    "t1\n}) MATCH (n) RETURN n //",
    "t1/*",
    "t1*/",
    "n:Node",
    ":Task {id: 't1'}",
    "t1`:Admin",
    "t1') SET n.user_id = 'x' //",
    "t1') CALL dbms.shutdown() //",
    "LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l",
    "t1') LOAD CSV FROM 'http://127.0.0.1/' AS l RETURN l //",
    "t1'}) WITH n CALL { MATCH (m) DETACH DELETE m } //",
    "e'\\x27",
    "t1\u2019) DELETE n",
    "t1\uff07) DELETE n",
    "ﬀ\u0301\u202e1t",
    "𝓉1",
    "t1\t\r\n",
    " ",
    "-1",
    "null",
    "NaN",
    "true",
    "[]",
    "('a','b')",
    "ARRAY['t1']",
    "t1::text",
    "pg_sleep(10)",
    "COPY graph_nodes TO PROGRAM 'id'",
]


def test_hostile_ids_titles_and_agents_are_only_text(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.bob, "t1"))
        kept = await here.whole(here.bob)
        stars = [task(here.ada, f"h{n}", text, agent=text, title=text) for n, text in enumerate(HOSTILE)]
        await here.put(*stars)
        for number, text in enumerate(HOSTILE):
            (node,) = await here.graph.nodes(here.ada, [f"h{number}"])
            assert node.properties == {"title": text}
            assert [one.id for one in await here.graph.nodes(here.ada, [text])] == [text]
            assert await here.graph.nodes(here.bob, [text]) == []
            found = await here.graph.edges(here.ada, [text], direction="in", relations=["USED"], limit=5)
            assert found == [GraphEdge(type="USED", source=f"h{number}", target=text)]
        assert await here.whole(here.bob) == kept
        assert (await here.follower().sweep()).differing == 0

    assert len(HOSTILE) >= 40
    play(graphs, scenario)


def test_a_relation_that_is_none_finds_nothing(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        await here.put(task(here.ada, "t1", "t2"))
        wanted: Any = ["USED`]-(x) DETACH DELETE x //", "'USED'"]
        assert await here.graph.edges(here.ada, ["t1"], direction="both", relations=wanted, limit=5) == []
        assert "t1" in ids(await here.whole(here.ada))

    play(graphs, scenario)


def test_random_histories_leave_engine_and_record_alike(graphs: Opened) -> None:
    async def scenario(here: Here) -> None:
        chance = random.Random(int(uuid4()) % 1000)
        for _ in range(8):
            stars = []
            for _ in range(chance.randrange(1, 12)):
                user, name = chance.choice([here.ada, here.bob]), f"t{chance.randrange(10)}"
                used = {f"t{chance.randrange(10)}" for _ in range(chance.randrange(3))} - {name}
                version = chance.randrange(1, 6)
                gone = Star(user_id=user, subject="Task", id=name, version=version)
                star = task(user, name, *sorted(used), version=version)
                stars.append(gone if chance.random() < 0.2 else star)
            await here.put(*stars)
            at = await here.follower().turn()
            assert await here.engine.sums(at.number) == await here.facts.sums(upto_seq=at.applied_seq)
        followed = [await here.whole(user) for user in (here.ada, here.bob)]
        await here.follower().rebuild()
        assert [await here.whole(user) for user in (here.ada, here.bob)] == followed

    play(graphs, scenario)
