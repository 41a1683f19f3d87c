"""Any course of calls answers as a plain model in memory does; and where a search looks."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared.config import Settings
from shared.stores.blind_text import BlindText
from tests.agents.called import Called, Refused, Replica, at, replica


class Model:
    """The graph as its users understand it."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}
        self.relations: list[dict[str, str]] = []

    def create_entities(self, entities: list[dict[str, Any]]) -> Any:
        new = []
        for entity in entities:
            if entity["name"] not in self.entities:
                made = {**entity, "observations": list(dict.fromkeys(entity["observations"]))}
                self.entities[entity["name"]] = made
                new.append({**made, "observations": list(made["observations"])})
        return {"entities": new}

    def create_relations(self, relations: list[dict[str, str]]) -> Any:
        new = []
        for relation in relations:
            if relation not in self.relations:
                self.relations.append(relation)
                new.append(relation)
        return {"relations": new}

    def add_observations(self, observations: list[dict[str, Any]]) -> Any:
        if any(asked["entityName"] not in self.entities for asked in observations):
            return None
        results = []
        for asked in observations:
            held, new = self.entities[asked["entityName"]]["observations"], []
            for text in asked["contents"]:
                if text not in held:
                    held.append(text)
                    new.append(text)
            results.append({"entityName": asked["entityName"], "addedObservations": new})
        return {"results": results}

    def delete_entities(self, entityNames: list[str]) -> Any:  # noqa: N803 - the original's word
        for name in entityNames:
            self.entities.pop(name, None)
        self.relations = [r for r in self.relations if not {r["from"], r["to"]} & set(entityNames)]
        return {"success": True, "message": "Entities deleted successfully"}

    def delete_observations(self, deletions: list[dict[str, Any]]) -> Any:
        for asked in deletions:
            if entity := self.entities.get(asked["entityName"]):
                entity["observations"] = [o for o in entity["observations"] if o not in asked["observations"]]
        return {"success": True, "message": "Observations deleted successfully"}

    def delete_relations(self, relations: list[dict[str, str]]) -> Any:
        self.relations = [r for r in self.relations if r not in relations]
        return {"success": True, "message": "Relations deleted successfully"}

    def read_graph(self) -> Any:
        return {"entities": list(self.entities.values()), "relations": self.relations}

    def search_nodes(self, query: str) -> Any:
        def holds(entity: dict[str, Any]) -> bool:
            texts = [entity["name"], entity["entityType"], *entity["observations"]]
            return any(query.lower() in text.lower() for text in texts)

        return self._part([name for name, entity in self.entities.items() if holds(entity)])

    def open_nodes(self, names: list[str]) -> Any:
        return self._part([name for name in self.entities if name in names])

    def _part(self, names: list[str]) -> Any:
        touching = [r for r in self.relations if {r["from"], r["to"]} & set(names)]
        return {"entities": [self.entities[name] for name in names], "relations": touching}


_NAMES = st.sampled_from(["a", "A", "Straße", "ΟΔΟΣ", "οδος", "İ", "x" * 500])
_TEXTS = st.text(st.sampled_from("abAΣςß İ%_\\'\"\n🦆é"), max_size=8)
_ENTITIES = st.fixed_dictionaries({"name": _NAMES, "entityType": _TEXTS, "observations": st.lists(_TEXTS, max_size=4)})
_RELATIONS = st.fixed_dictionaries({"from": _NAMES, "to": _NAMES, "relationType": st.sampled_from(["r", "s", "R"])})


def _some(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, max_size=3)


def _of(name: str, texts: str) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({name: _NAMES, texts: _some(_TEXTS)})


_CALLS = st.one_of(
    st.tuples(st.just("create_entities"), st.fixed_dictionaries({"entities": _some(_ENTITIES)})),
    st.tuples(st.just("create_relations"), st.fixed_dictionaries({"relations": _some(_RELATIONS)})),
    st.tuples(
        st.just("add_observations"), st.fixed_dictionaries({"observations": _some(_of("entityName", "contents"))})
    ),
    st.tuples(st.just("delete_entities"), st.fixed_dictionaries({"entityNames": _some(_NAMES)})),
    st.tuples(
        st.just("delete_observations"), st.fixed_dictionaries({"deletions": _some(_of("entityName", "observations"))})
    ),
    st.tuples(st.just("delete_relations"), st.fixed_dictionaries({"relations": _some(_RELATIONS)})),
    st.tuples(st.just("read_graph"), st.just({})),
    st.tuples(st.just("search_nodes"), st.fixed_dictionaries({"query": _TEXTS})),
    st.tuples(st.just("open_nodes"), st.fixed_dictionaries({"names": _some(_NAMES)})),
)


async def _same(memory: Called, calls: list[tuple[str, dict[str, Any]]]) -> None:
    model = Model()
    for tool, arguments in calls:
        expected = json.loads(json.dumps(getattr(model, tool)(**arguments)))
        if expected is None:
            with pytest.raises(Refused, match="there is no entity"):
                await memory(tool, **arguments)
        else:
            assert await memory(tool, **arguments) == expected, tool
    assert await memory("read_graph") == json.loads(json.dumps(model.read_graph()))


def test_any_course_of_calls_answers_as_the_model_does(settings: Settings) -> None:
    with asyncio.Runner() as runner:
        opening = replica(settings, "memory")
        here = runner.run(opening.__aenter__())

        @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(_CALLS, min_size=3, max_size=12))
        def course(calls: list[tuple[str, dict[str, Any]]]) -> None:
            async def play() -> None:
                await _same(await here.newcomer(), calls)

            runner.run(play())

        try:
            course()
        finally:
            runner.run(opening.__aexit__(None, None, None))


@given(st.text(max_size=40), st.integers(0, 40), st.integers(0, 40))
def test_every_part_of_a_text_is_asked_for_among_its_grams(text: str, start: int, end: int) -> None:
    text = text.encode(errors="ignore").decode()
    blind = BlindText(b"k" * 32, "memory")
    asked = blind.asked(text.lower()[start:end])
    assert asked is None or set(asked) <= set(blind.grams(text))


def test_a_search_in_a_large_graph_goes_by_the_index(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        for part in range(4):
            entities = [
                {"name": f"n{n}", "entityType": "t", "observations": [f"the number {n}{k} is known" for k in range(10)]}
                for n in range(part * 200, part * 200 + 200)
            ]
            await memory("create_entities", entities=entities)
        await here.database.execute("VACUUM ANALYZE memory_entities, memory_observations")
        found = await memory("search_nodes", query="NUMBER 1234 IS")
        assert [entity["name"] for entity in found["entities"]] == ["n123"]
        grams = BlindText(b"k" * 32, "memory").asked("number 1234 is")
        plan = await here.database.fetch(
            "EXPLAIN SELECT id FROM memory_observations WHERE user_id = $1 AND grams @> $2", memory.user_id, grams
        )
        assert "memory_observations_grams" in "\n".join(row[0] for row in plan)

    at(settings, "memory", play)


def test_no_text_lies_in_the_rows_but_in_sealed_columns(settings: Settings) -> None:
    async def play(here: Replica) -> None:
        memory = await here.newcomer()
        entity = {"name": "MARKER-name", "entityType": "MARKER-type", "observations": ["MARKER-fact"]}
        await memory("create_entities", entities=[entity])
        await memory(
            "create_relations", relations=[{"from": "MARKER-name", "to": "MARKER-to", "relationType": "MARKER-rel"}]
        )
        for table in ("graphs", "entities", "observations", "relations", "acts"):
            for row in await here.database.fetch(f"SELECT * FROM memory_{table}"):
                rest = dict(row.items())
                assert b"MARKER" in rest.pop("body", b"MARKER")
                assert "MARKER" not in str(rest)

    at(settings, "memory", play)
