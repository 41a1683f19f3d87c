"""Documents that are like one another, and what they mention, from the event to the graph and back to nothing."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from events.base import Event
from events.documents import DocumentDeleted, DocumentIndexed
from shared.config import Settings
from shared.graph.following import Follower
from shared.graph.leading import ENDS
from shared.graph.relating import Relating
from shared.graph.walking import neighbours, similar
from shared.ports.document_ties import FOUND_SIMILAR, DocumentTies
from shared.ports.documents import chunk_id
from shared.ports.graph import MOST_SIMILAR, Facts, Gathering, Graph, GraphEngine, Kept
from shared.ports.upkeep import Upkeep
from shared.ports.vectors import Collections, NewVector, Vectors
from shared.stores.postgres.database import Database
from shared.wiring import Ports
from tests.graph.places import person
from tests.graph.scanning import ScanningService

SIZE = 8
AGENTS = ("http-fetch", "memory")


@dataclass
class Library:
    """One user's documents, and all that follows them."""

    database: Database
    facts: Facts
    graph: Graph
    upkeep: Upkeep
    follower: Follower
    gathering: Gathering
    collections: Collections
    vectors: Vectors
    ties: DocumentTies
    relating: Relating
    service: ScanningService
    ada: UUID
    chunks: dict[UUID, int] = field(default_factory=dict)

    async def add(
        self, title: str, *vectors: Sequence[float], texts: Sequence[str] = (), document_id: UUID | None = None
    ) -> UUID:
        document_id = document_id or uuid4()
        await self.replace(document_id, title, *vectors, texts=texts)
        return document_id

    async def replace(
        self, document_id: UUID, title: str, *vectors: Sequence[float], texts: Sequence[str] = ()
    ) -> None:
        given = [
            NewVector(
                id=chunk_id(document_id, number),
                vector=unit(vector),
                metadata={"document_id": str(document_id)},
                text=texts[number] if texts else f"{title} {number}",
            )
            for number, vector in enumerate(vectors)
        ]
        await self.vectors.upsert(self.ada, "notes", given, model=None)
        self.chunks[document_id] = len(given)
        about = {"document_id": document_id, "user_id": self.ada, "collection": "notes", "title": title}
        await self.publish(DocumentIndexed.model_validate({**about, "chunks": len(given)}), document_id)

    async def remove(self, document_id: UUID) -> None:
        ids = [chunk_id(document_id, number) for number in range(self.chunks.pop(document_id))]
        about = {"document_id": document_id, "user_id": self.ada, "collection": "notes", "title": ""}
        await self.publish(DocumentDeleted.model_validate(about), document_id)
        await self.vectors.delete(self.ada, "notes", ids)

    async def publish(self, event: Event, document_id: UUID) -> None:
        await self.database.execute(
            "INSERT INTO events (type, source, subject, user_id, data) VALUES ($1, '/functions/test', $2, $3, $4)",
            event.type,
            str(document_id),
            self.ada,
            event.model_dump(mode="json"),
        )

    async def settle(self) -> None:
        """Until nothing is to be done."""
        await self.upkeep.number()
        while await self.gathering.gather():
            pass
        while await self.relating.turn():
            pass
        await self.follower.turn()

    async def like(self, document_id: UUID) -> dict[UUID, float]:
        return {UUID(one.id): score for one, score in await similar(self.graph, self.ada, str(document_id), limit=200)}

    async def edges(self, relation: str) -> set[tuple[str, str]]:
        whole = await self.graph.whole(self.ada, most_nodes=5000, most_edges=20_000)
        return {(edge.source, edge.target) for edge in whole.edges if edge.type == relation}


def play(settings: Settings, scenario: Callable[[Library], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(200), Ports(settings) as ports:
            database, vectors = await ports.open(Database), await ports.open(Vectors)
            facts, gathering = await ports.open(Facts), await ports.open(Gathering)
            collections, ties = await ports.open(Collections), await ports.open(DocumentTies)
            service = ScanningService(vectors)
            ada = await person(database)
            await collections.create(ada, "notes", dimension=SIZE, metric="cosine", model=None, backends=["faiss"])
            await scenario(
                Library(
                    database=database,
                    facts=facts,
                    graph=await ports.open(Graph),
                    upkeep=await ports.open(Upkeep),
                    follower=Follower(facts=facts, gathering=gathering, engine=await ports.open(GraphEngine)),
                    gathering=gathering,
                    collections=collections,
                    vectors=vectors,
                    ties=ties,
                    relating=Relating(
                        ties=ties, collections=collections, vectors=vectors, service=service, agents=AGENTS
                    ),
                    service=service,
                    ada=ada,
                )
            )

    asyncio.run(main())


def unit(vector: Sequence[float]) -> NDArray[np.float32]:
    whole = np.zeros(SIZE, np.float32)
    whole[: len(vector)] = vector
    return (whole / np.linalg.norm(whole)).astype(np.float32)


def test_what_is_alike_is_found_from_either_side_with_its_score(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one = await library.add("one", [1, 0], [1, 0.2])
        near = await library.add("near", [1, 0.4])
        far = await library.add("far", [0, 0, 1])
        await library.settle()
        centre = (unit([1, 0]) + unit([1, 0.2])) / 2
        score = float(unit(centre.tolist()) @ unit([1, 0.4]))
        assert await library.like(one) == {near: pytest.approx(score, abs=1e-5)}
        assert await library.like(near) == {one: pytest.approx(score, abs=1e-5)}
        assert await library.like(far) == {}

    play(settings, scenario)


def test_what_no_longer_holds_goes_when_a_document_is_indexed_again(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one, near, far = [await library.add(name, vector) for name, vector in (("a", [1]), ("b", [1]), ("c", [0, 1]))]
        await library.settle()
        assert (set(await library.like(one)), set(await library.like(far))) == ({near}, set())
        await library.replace(one, "a", [0, 1])
        await library.settle()
        assert (set(await library.like(one)), set(await library.like(near))) == ({far}, set())
        assert await library.like(far) == {one: 1.0}

    play(settings, scenario)


def test_a_deleted_document_leaves_no_edge_and_others_look_for_another_in_its_place(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one = await library.add("The first of them", [1], texts=["As A second report has it"])
        second = await library.add("A second report", [1, 0.1], texts=["after The First of them"])
        await library.settle()
        assert set(await library.like(one)) == {second}
        assert await library.edges("MENTIONS") == {(str(one), str(second)), (str(second), str(one))}
        await library.remove(second)
        await library.settle()
        assert await library.like(one) == {}
        assert await library.edges("MENTIONS") == set() == await library.edges("SIMILAR_TO")
        assert await library.graph.nodes(library.ada, [str(second), chunk_id(second, 0)]) == []
        for table in ("graph_documents", "document_similarities", "document_mentions"):
            left = await library.database.fetch(f"SELECT * FROM {table} WHERE user_id = $1", library.ada)
            assert [row["document_id"] for row in left] == ([one] if table == "graph_documents" else [])
        # Told of once more, as it may be after a crash, it does not come back.
        await library.follower.rebuild()
        await library.settle()
        assert await library.graph.nodes(library.ada, [str(second)]) == []

    play(settings, scenario)


def test_a_document_that_is_deleted_while_it_is_compared_stays_deleted(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one, other = await library.add("one", [1]), await library.add("other", [1])
        await library.settle()
        await library.replace(one, "one", [1, 0.1])
        await library.upkeep.number()
        await library.gathering.gather()
        [due] = await library.ties.due(limit=10)
        content = await library.ties.content(due, await library.collections.find(library.ada, "notes"))
        await library.remove(one)
        await library.settle()
        await library.ties.tie(due, content, similar={other: 0.9}, mentions=[], mentioned_by={other: 0})
        await library.settle()
        assert await library.like(other) == {}
        assert await library.edges("SIMILAR_TO") == set() == await library.edges("MENTIONS")

    play(settings, scenario)


def test_each_finds_ten_and_keeps_no_more_than_fifty(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        chance = random.Random(1)
        crowd = [await library.add(f"n{n}", [1, chance.random() / 3, chance.random() / 3]) for n in range(90)]
        await library.settle()
        near = {one: await library.like(one) for one in crowd}
        assert all(FOUND_SIMILAR <= len(found) <= MOST_SIMILAR for found in near.values())
        assert all(near[other][one] == score for one, found in near.items() for other, score in found.items())
        degrees = await library.database.fetchval(
            "SELECT max(n) FROM (SELECT count(*) AS n FROM (SELECT document_id AS id FROM document_similarities"
            " UNION ALL SELECT other_id FROM document_similarities) ends GROUP BY id) degrees"
        )
        assert degrees <= MOST_SIMILAR

    play(settings, scenario)


def test_a_document_mentions_others_tasks_and_agents_whichever_came_first(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        early = await library.add("A", [1], texts=["to be told in our Yearly Report, made with http-fetch"])
        named = await library.add("The yearly report", [0, 1], texts=["about itself, The Yearly Report"])
        title = await library.add("Yearly report", [0, 0, 1], texts=[f"see {named}, and the memory agent"])
        late = await library.add(
            "B", [0, 0, 0, 1], [0, 0, 0, 1], texts=["nothing", f"{early} and {uuid4()}; yearly  REPORT"]
        )
        await library.settle()
        assert await library.edges("MENTIONS") == {
            (str(early), str(title)),
            (str(early), "http-fetch"),
            (str(named), str(title)),
            (str(title), str(named)),
            (str(title), "memory"),
            (str(late), str(early)),
            (str(late), str(title)),
        }
        near = await neighbours(library.graph, library.ada, str(late), depth=1, kinds=["Document"], limit=10)
        assert {node.id for node in near.nodes} == {str(late), str(early), str(title)}
        # A new name: who has used the old one no longer means it.
        await library.replace(late, "B", [0, 0, 0, 1], texts=["nothing"])
        await library.settle()
        assert {source for source, _ in await library.edges("MENTIONS")} == {str(early), str(named), str(title)}

    play(settings, scenario)


def test_nobody_elses_documents_are_alike_or_mentioned(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        ada = library.ada
        mine = await library.add("The shared title", [1], texts=["The shared title"])
        library.ada = await person(library.database)
        await library.collections.create(
            library.ada, "notes", dimension=SIZE, metric="cosine", model=None, backends=["faiss"]
        )
        await library.add("The shared title", [1], texts=[f"The shared title {mine}"])
        await library.settle()
        assert await library.edges("SIMILAR_TO") == set() == await library.edges("MENTIONS")
        library.ada = ada
        assert await library.edges("SIMILAR_TO") == set() == await library.edges("MENTIONS")

    play(settings, scenario)


def test_documents_wait_for_the_vector_service_and_the_graph_does_not(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        library.service.is_away = True
        one, other = await library.add("one", [1]), await library.add("other", [1])
        await library.settle()
        assert len(await library.graph.nodes(library.ada, [str(one), str(other)])) == 2
        assert await library.like(one) == {}
        library.service.is_away = False
        await library.database.execute("UPDATE graph_documents SET due_at = now() WHERE due_at > now()")
        await library.settle()
        assert await library.like(one) == {other: 1.0}

    play(settings, scenario)


def test_a_collection_that_is_gone_takes_what_was_like_it(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one, other = await library.add("one", [1]), await library.add("other", [1])
        await library.settle()
        assert await library.like(one) == {other: 1.0}
        await library.collections.delete(library.ada, "notes")
        await library.database.execute("UPDATE graph_documents SET due_at = now()")
        await library.settle()
        assert await library.like(one) == {}

    play(settings, scenario)


def test_vectors_that_are_no_documents_are_passed_over(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one = await library.add("The title of one", [1])
        names = ["x", f"{uuid4()}:0", f"{one}:x", str(one), f"{one}:99", f"{one}:{10**30}", f"{uuid4()}:{10**30}"]
        loose = [
            NewVector(id=name, vector=unit([1]), metadata={"document_id": str(uuid4())}, text="The title of one")
            for name in names
        ]
        await library.vectors.upsert(library.ada, "notes", loose, model=None)
        await library.settle()
        assert await library.edges("SIMILAR_TO") == set() == await library.edges("MENTIONS")

    play(settings, scenario)


def test_a_rebuild_has_all_of_it_out_of_the_record(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        texts = ["The number 1 of all", "The number 0 of all", "memory agent", "x", "y"]
        for number in range(5):
            await library.add(f"The number {number} of all", [1, number / 10], texts=[texts[number]])
        await library.settle()
        alike, named = await library.edges("SIMILAR_TO"), await library.edges("MENTIONS")
        assert len(alike) == 10 and len(named) == 3
        await library.database.execute("DELETE FROM graph_stars WHERE subject IN ('Similar', 'Mentions')")
        await library.follower.rebuild()
        assert (await library.edges("SIMILAR_TO"), await library.edges("MENTIONS")) == (alike, named)
        assert (await library.follower.sweep()).differing == 0

    play(settings, scenario)


def test_every_star_keeps_to_the_ends_of_its_relations(settings: Settings) -> None:
    async def scenario(library: Library) -> None:
        one = await library.add("The first of them", [1], texts=["http-fetch, the memory agent"])
        await library.add("The second of them", [1], texts=[f"The first of them is {one}"])
        await library.settle()
        kept = [change.star for change in await library.facts.since(0, limit=10_000) if isinstance(change, Kept)]
        edges = [edge for star in kept for edge in star.edges]
        assert {edge.type for edge in edges} >= {"OWNS", "SIMILAR_TO", "MENTIONS"}
        for edge in edges:
            sources, targets = ENDS[edge.type]
            assert edge.source.kind in sources and edge.target.kind in targets, edge

    play(settings, scenario)
