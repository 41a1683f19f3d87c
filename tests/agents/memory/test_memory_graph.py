"""What the tools of the memory agent do, sentence by sentence."""

from typing import Any

import pytest

from shared.config import Settings
from tests.agents.called import Called, Refused, Replica, at

ADA = {"name": "Ada", "entityType": "person", "observations": ["wrote notes", "liked horses"]}
ACME = {"name": "Acme", "entityType": "company", "observations": []}
WORKS = {"from": "Ada", "to": "Acme", "relationType": "works_at"}


async def _graph(memory: Called) -> Any:
    return await memory("read_graph")


async def _example(here: Replica) -> Called:
    memory = await here.newcomer()
    await memory("create_entities", entities=[ADA, ACME])
    await memory("create_relations", relations=[WORKS])
    return memory


def test_what_was_created_is_read_in_the_order_of_its_creation(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        assert await _graph(memory) == {"entities": [], "relations": []}
        assert await memory("create_entities", entities=[ADA, ACME]) == {"entities": [ADA, ACME]}
        assert await memory("create_relations", relations=[WORKS]) == {"relations": [WORKS]}
        assert await _graph(memory) == {"entities": [ADA, ACME], "relations": [WORKS]}

    at(settings, "memory", play)


def test_only_what_is_new_is_created_and_answered(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await _example(here)
        changed = {**ADA, "entityType": "machine", "observations": ["other"]}
        grace = {**ADA, "name": "Grace"}
        assert await memory("create_entities", entities=[changed, grace, ACME]) == {"entities": [grace]}
        back = {**WORKS, "from": "Acme", "to": "Ada"}
        assert await memory("create_relations", relations=[WORKS, back]) == {"relations": [back]}
        assert await _graph(memory) == {"entities": [ADA, ACME, grace], "relations": [WORKS, back]}

    at(settings, "memory", play)


def test_doubles_within_one_call_count_once(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        doubled = {**ADA, "observations": ["a", "b", "a"]}
        once = {**ADA, "observations": ["a", "b"]}
        assert await memory("create_entities", entities=[doubled, {**ADA, "observations": ["c"]}]) == {
            "entities": [once]
        }
        assert await memory("create_relations", relations=[WORKS, WORKS]) == {"relations": [WORKS]}
        added = [{"entityName": "Ada", "contents": ["d", "d", "a"]}, {"entityName": "Ada", "contents": ["d", "e"]}]
        assert await memory("add_observations", observations=added) == {
            "results": [
                {"entityName": "Ada", "addedObservations": ["d"]},
                {"entityName": "Ada", "addedObservations": ["e"]},
            ]
        }
        assert (await _graph(memory))["entities"] == [{**ADA, "observations": ["a", "b", "d", "e"]}]

    at(settings, "memory", play)


def test_names_differ_by_case_and_by_how_their_accents_are_written(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        named = [{**ACME, "name": name} for name in ("café", "cafe\u0301", "Café", "", " ", "日本語", "🦆")]
        assert await memory("create_entities", entities=named) == {"entities": named}
        assert (await memory("open_nodes", names=["cafe\u0301", "🦆"]))["entities"] == [named[1], named[6]]

    at(settings, "memory", play)


def test_a_relation_may_name_what_does_not_exist(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        assert await memory("create_relations", relations=[WORKS]) == {"relations": [WORKS]}
        assert await memory("search_nodes", query="Ada") == {"entities": [], "relations": []}
        await memory("delete_entities", entityNames=["Acme"])
        assert await _graph(memory) == {"entities": [], "relations": []}

    at(settings, "memory", play)


def test_observations_for_an_unknown_entity_are_refused_and_none_is_added(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await _example(here)
        asked = [{"entityName": "Ada", "contents": ["x"]}, {"entityName": "Bob", "contents": ["y"]}]
        with pytest.raises(Refused, match="TOOL_ERROR: there is no entity 'Bob'"):
            await memory("add_observations", observations=asked)
        assert (await _graph(memory))["entities"] == [ADA, ACME]

    at(settings, "memory", play)


def test_a_deleted_entity_takes_its_observations_and_relations_with_it(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await _example(here)
        answer = {"success": True, "message": "Entities deleted successfully"}
        assert await memory("delete_entities", entityNames=["Ada", "Bob"]) == answer
        assert await _graph(memory) == {"entities": [ACME], "relations": []}
        assert await memory("delete_entities", entityNames=["Ada"]) == answer
        blank = {**ADA, "observations": []}
        assert await memory("create_entities", entities=[blank]) == {"entities": [blank]}
        assert await _graph(memory) == {"entities": [ACME, blank], "relations": []}

    at(settings, "memory", play)


def test_observations_and_relations_are_deleted_and_what_is_unknown_is_passed_over(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await _example(here)
        asked = [
            {"entityName": "Ada", "observations": ["wrote notes", "nothing"]},
            {"entityName": "Bob", "observations": ["liked horses"]},
            {"entityName": "Acme", "observations": ["liked horses"]},
        ]
        answer = {"success": True, "message": "Observations deleted successfully"}
        assert await memory("delete_observations", deletions=asked) == answer
        others = [{**WORKS, "relationType": "left"}, {**WORKS, "from": "Acme", "to": "Ada"}]
        assert await memory("delete_relations", relations=others) == {
            "success": True,
            "message": "Relations deleted successfully",
        }
        left = {**ADA, "observations": ["liked horses"]}
        assert await _graph(memory) == {"entities": [left, ACME], "relations": [WORKS]}
        await memory("delete_relations", relations=[WORKS, WORKS])
        assert await _graph(memory) == {"entities": [left, ACME], "relations": []}

    at(settings, "memory", play)


def test_opened_nodes_come_with_every_relation_at_them(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await _example(here)
        knows = {"from": "Acme", "to": "Bob", "relationType": "pays"}
        await memory("create_relations", relations=[knows])
        assert await memory("open_nodes", names=["Bob", "Ada"]) == {"entities": [ADA], "relations": [WORKS]}
        assert await memory("open_nodes", names=["Acme"]) == {"entities": [ACME], "relations": [WORKS, knows]}
        assert await memory("open_nodes", names=[]) == {"entities": [], "relations": []}

    at(settings, "memory", play)


@pytest.mark.parametrize(
    "query, found",
    [
        ("ada", ["Ada"]),
        ("ADA", ["Ada"]),
        ("PERS", ["Ada"]),
        ("ked hor", ["Ada"]),
        ("e", ["Ada", "Acme", "ΟΔΟΣ"]),
        ("", ["Ada", "Acme", "ΟΔΟΣ"]),
        ("οδος", ["ΟΔΟΣ"]),
        ("straße", ["ΟΔΟΣ"]),
        ("%", []),
        ("A_a", []),
        ("wrote liked", []),
        # All its parts are there, though never in one piece.
        ("notesliked", []),
        ("ppapp", []),
    ],
)
def test_a_text_is_found_in_names_types_and_observations_whatever_its_case(
    settings: Settings, query: str, found: list[str]
) -> None:
    async def play(here: Replica) -> None:
        memory = await _example(here)
        greek = {"name": "ΟΔΟΣ", "entityType": "word", "observations": ["eine STRAßE", "papp appa"]}
        await memory("create_entities", entities=[greek])
        answer = await memory("search_nodes", query=query)
        assert [entity["name"] for entity in answer["entities"]] == found
        assert answer["relations"] == ([WORKS] if {"Ada", "Acme"} & set(found) else [])

    at(settings, "memory", play)


def test_nobody_sees_or_changes_the_graph_of_another(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory, other = await _example(here), await here.newcomer()
        nothing: dict[str, list[Any]] = {"entities": [], "relations": []}
        assert await other("read_graph") == nothing
        assert await other("search_nodes", query="ada") == nothing
        assert await other("open_nodes", names=["Ada"]) == nothing
        await other("delete_entities", entityNames=["Ada"])
        await other("delete_observations", deletions=[{"entityName": "Ada", "observations": ["wrote notes"]}])
        await other("delete_relations", relations=[WORKS])
        with pytest.raises(Refused, match="no entity 'Ada'"):
            await other("add_observations", observations=[{"entityName": "Ada", "contents": ["x"]}])
        mine = {**ADA, "observations": ["mine"]}
        assert await other("create_entities", entities=[mine]) == {"entities": [mine]}
        assert await other("create_relations", relations=[WORKS]) == {"relations": [WORKS]}
        assert await _graph(memory) == {"entities": [ADA, ACME], "relations": [WORKS]}
        assert await other("read_graph") == {"entities": [mine], "relations": [WORKS]}

    at(settings, "memory", play)


def test_the_graph_goes_with_its_user(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory, other = await _example(here), await _example(here)
        assert await here.users.erase(memory.user_id)
        with pytest.raises(Refused, match="NOT_FOUND"):
            await memory("create_entities", entities=[ADA])
        tables = ("graphs", "entities", "observations", "relations", "acts")
        for table in tables:
            owners = await here.database.fetch(f"SELECT DISTINCT user_id FROM memory_{table}")
            assert [row["user_id"] for row in owners] == [other.user_id]

    at(settings, "memory", play)
