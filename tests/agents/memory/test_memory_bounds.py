"""How large a graph, a call and an answer may become."""

from typing import Any

import pytest

from shared.config import Settings
from tests.agents.called import Called, Refused, Replica, at


def _entity(name: str, *observations: str) -> dict[str, Any]:
    return {"name": name, "entityType": "t", "observations": list(observations)}


async def _pretend(memory: Called, **counts: int) -> None:
    """As if the graph already held so much."""
    settings = ", ".join(f"{what} = {count}" for what, count in counts.items())
    await memory.database.execute(f"UPDATE memory_graphs SET {settings} WHERE user_id = $1", memory.user_id)


@pytest.mark.parametrize(
    "tool, arguments, where",
    [
        ("create_entities", {"entities": [_entity("n" * 501)]}, "entities.0.name"),
        ("create_entities", {"entities": [_entity("n", "o" * 20_001)]}, "entities.0.observations.0"),
        ("create_entities", {"entities": [_entity("n", *("o" * 1001))]}, "entities.0.observations"),
        ("create_entities", {"entities": [_entity("n")] * 1001}, "entities"),
        ("create_entities", {"entities": [{**_entity("n"), "id": 1}]}, "entities.0.id"),
        ("create_entities", {"entities": [{"name": "n", "entityType": "t"}]}, "entities.0.observations"),
        ("create_entities", {"entities": [{**_entity("n"), "name": 7}]}, "entities.0.name"),
        ("create_relations", {"relations": [{"from": "a", "to": "b" * 501, "relationType": "c"}]}, "relations.0.to"),
        ("add_observations", {"observations": [{"entityName": "a", "contents": "b"}]}, "observations.0.contents"),
        ("delete_entities", {"entityNames": ["a"] * 1001}, "entityNames"),
        ("search_nodes", {"query": "q" * 1001}, "query"),
        ("open_nodes", {}, "names"),
    ],
)
def test_what_is_too_long_or_not_as_declared_is_named(
    settings: Settings, tool: str, arguments: dict[str, Any], where: str
) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        with pytest.raises(Refused, match=f"VALIDATION_ERROR: the parameters are not as declared: {where}: "):
            await memory(tool, **arguments)
        assert await memory("read_graph") == {"entities": [], "relations": []}

    at(settings, "memory", play)


def test_a_graph_that_would_become_too_large_is_left_as_it_is(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        await memory("create_entities", entities=[_entity("a", "x")])
        relation = {"from": "a", "to": "b", "relationType": "c"}
        added = [{"entityName": "a", "contents": ["y"]}]
        before = await memory("read_graph")
        await _pretend(memory, entities=10_000)
        with pytest.raises(Refused, match="holds 10000 entities, with this it would be 10001, and 10000 is the most"):
            await memory("create_entities", entities=[_entity("a"), _entity("b")])
        assert await memory("create_entities", entities=[_entity("a")]) == {"entities": []}
        await _pretend(memory, entities=1, observations=100_000)
        with pytest.raises(Refused, match="100000 observations"):
            await memory("add_observations", observations=added)
        await _pretend(memory, observations=1, relations=50_000)
        with pytest.raises(Refused, match="50000 relations"):
            await memory("create_relations", relations=[relation])
        await _pretend(memory, relations=0, size_bytes=(8 << 20) - 2)
        with pytest.raises(Refused, match="8388608 is the most it may hold; delete what is no longer needed"):
            await memory("add_observations", observations=added)
        assert await memory("read_graph") == before

    at(settings, "memory", play)


def test_what_is_deleted_makes_room(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        await memory("create_entities", entities=[_entity("a", "x", "y"), _entity("b", "x", "z")])
        both = [{"from": "a", "to": "b", "relationType": kind} for kind in "cd"]
        await memory("create_relations", relations=both)
        await memory("delete_observations", deletions=[{"entityName": "a", "observations": ["x", "z"]}])
        await memory("delete_relations", relations=both[:1])
        counted = "SELECT entities, observations, relations, size_bytes FROM memory_graphs WHERE user_id = $1"
        (row,) = await memory.database.fetch(counted, memory.user_id)
        texts = 2 * len('["a","t"]') + 3 * len('"x"') + len('["a","b","d"]')
        assert tuple(row) == (2, 3, 1, texts)
        await memory("delete_entities", entityNames=["a", "b"])
        (row,) = await memory.database.fetch(counted, memory.user_id)
        assert tuple(row) == (0, 0, 0, 0)

    at(settings, "memory", play)


def test_a_graph_beyond_one_answer_is_read_in_parts(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        for part in range(4):
            await memory("create_entities", entities=[_entity(f"n{part}{number:03}") for number in range(825)])
        assert len((await memory("read_graph"))["entities"]) == 3300
        await memory("create_entities", entities=[_entity("last")])
        with pytest.raises(Refused, match=r"TOOL_ERROR: these are 3301 entities and relations, .* narrower query"):
            await memory("read_graph")
        with pytest.raises(Refused, match="3301 entities"):
            await memory("search_nodes", query="")
        assert len((await memory("search_nodes", query="N1"))["entities"]) == 825

    at(settings, "memory", play)


def test_the_largest_call_there_is_is_kept_and_found(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        texts = [f"{number:04}{'é' * 400}" for number in range(1000)]
        created = await memory("create_entities", entities=[_entity("a", *texts)])
        assert created["entities"] == [_entity("a", *texts)]
        assert (await memory("search_nodes", query="0999É"))["entities"] == [_entity("a", *texts)]

    at(settings, "memory", play)
