"""memory beside @modelcontextprotocol/server-memory 2026.8.31.

The same calls mean the same, but for what is listed here:

- What comes twice within one call counts once: the original compares only with what was there before the call, and so
  makes two entities of one name, which one deletion then takes away together.
- The text beside the data is the same JSON; the original indents it, and leaves out the name around what was created.
- Arguments that no tool has are refused. The original drops them, so a misspelled one goes unnoticed.
- Graphs, texts, calls and answers have bounds, and NUL characters and halves of surrogate pairs are refused.
- There is a graph for each user, and no act is lost under another. The original has one file, which it writes anew with
  every act, so that of two acts at the same time one is lost.
- There is no resource memory://knowledge-graph; read_graph says the same.
"""

import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.config import Settings
from tests.differential.originals import Call, Said, from_npm, side_by_side, tools_of

_SCRIPT = "@modelcontextprotocol/server-memory/dist/index.js"
_ADA = {"name": "Ada", "entityType": "person", "observations": ["wrote notes", "liked horses"]}
_KNOWS = {"from": "Ada", "to": "Bob", "relationType": "knows"}


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return from_npm(_SCRIPT)


@pytest.fixture
def beside(settings: Settings, command: tuple[str, ...], tmp_path: Path) -> Callable[..., None]:
    def play(scenario: Callable[[Call, Call], Awaitable[None]]) -> None:
        environ = {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")}
        side_by_side(settings, "memory", command, environ, scenario)

    return play


def _meant(said: Said) -> tuple[bool, Any]:
    return said.is_error, None if said.is_error else said.data


async def _same(theirs: Call, mine: Call, tool: str, **arguments: Any) -> Any:
    """Asserts that both mean the same, and returns it."""
    meant = _meant(await theirs(tool, **arguments))
    assert _meant(await mine(tool, **arguments)) == meant, (tool, arguments)
    return meant


def test_the_tools_of_the_original_are_there_with_their_arguments(
    settings: Settings, command: tuple[str, ...], tmp_path: Path
) -> None:
    theirs, mine = tools_of(settings, "memory", command, {"MEMORY_FILE_PATH": str(tmp_path / "memory.jsonl")})
    assert mine.keys() == theirs.keys()
    for tool, schema in theirs.items():
        assert mine[tool].get("properties", {}).keys() == schema.get("properties", {}).keys(), tool
        assert sorted(mine[tool].get("required", [])) == sorted(schema.get("required", [])), tool


def test_the_same_calls_mean_the_same(beside: Callable[..., None]) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("read_graph", {}),
        ("search_nodes", {"query": ""}),
        ("create_entities", {"entities": [_ADA, {"name": "Bob", "entityType": "", "observations": []}]}),
        ("create_entities", {"entities": [{**_ADA, "observations": ["other"]}, {**_ADA, "name": "ada"}]}),
        ("create_entities", {"entities": []}),
        ("create_relations", {"relations": [_KNOWS, {**_KNOWS, "from": "nobody", "to": "nothing"}]}),
        ("create_relations", {"relations": [_KNOWS, {**_KNOWS, "relationType": "KNOWS"}]}),
        ("add_observations", {"observations": [{"entityName": "Ada", "contents": ["wrote notes", "née Byron 🦆"]}]}),
        ("add_observations", {"observations": [{"entityName": "Bob", "contents": ["x"]}] * 2}),
        ("add_observations", {"observations": [{"entityName": "Ada", "contents": []}]}),
        (
            "add_observations",
            {"observations": [{"entityName": "Bob", "contents": ["y"]}, {"entityName": "bob", "contents": ["z"]}]},
        ),
        ("read_graph", {}),
        *[("search_nodes", {"query": query}) for query in ("ADA", "NÉE b", "er", "e", "%", "🦆", "nothing", "a" * 200)],
        *[("open_nodes", {"names": names}) for names in ([], ["Bob"], ["Bob", "Ada", "Bob"], ["nobody"])],
        ("delete_observations", {"deletions": [{"entityName": "Ada", "observations": ["wrote notes", "nothing"]}]}),
        ("delete_observations", {"deletions": [{"entityName": "nobody", "observations": ["x"]}]}),
        ("delete_relations", {"relations": [_KNOWS, {**_KNOWS, "to": "Ada"}]}),
        ("read_graph", {}),
        ("delete_entities", {"entityNames": ["Bob", "nothing", "Bob"]}),
        ("delete_entities", {"entityNames": []}),
        ("read_graph", {}),
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for tool, arguments in calls:
            await _same(theirs, mine, tool, **arguments)

    beside(scenario)


def test_letters_are_compared_without_their_case_in_the_same_way(beside: Callable[..., None]) -> None:
    words = [
        "ΟΔΟΣ",
        "οδός",
        "Straße",
        "STRASSE",
        "İstanbul",
        "ISTANBUL",
        "ﬀ",
        "Ǆ",
        "ﾊﾝ",
        "Å",
        "A\u030a",
        "ẞ",
        "Σ",
        "ΑΣ",
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        entities = [{"name": f"{n}", "entityType": word, "observations": []} for n, word in enumerate(words)]
        await _same(theirs, mine, "create_entities", entities=entities)
        for word in words:
            for query in (word, word.lower(), word.upper(), word[:-1], word[1:]):
                await _same(theirs, mine, "search_nodes", query=query)

    beside(scenario)


def test_the_same_calls_are_refused_and_change_nothing(beside: Callable[..., None]) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("add_observations", {"observations": [{"entityName": "nobody", "contents": ["x"]}]}),
        ("create_entities", {}),
        ("create_entities", {"entities": [{"name": "n", "entityType": "t"}]}),
        ("create_entities", {"entities": [{**_ADA, "name": 1}]}),
        ("create_entities", {"entities": [{**_ADA, "observations": "one"}]}),
        ("create_relations", {"relations": [{"from": "a", "to": "b"}]}),
        ("create_relations", {"relations": _KNOWS}),
        ("delete_entities", {"entityNames": "Ada"}),
        ("search_nodes", {"query": 7}),
        ("search_nodes", {}),
        ("open_nodes", {"names": [None]}),
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for tool, arguments in calls:
            assert await _same(theirs, mine, tool, **arguments) == (True, None)
        assert await _same(theirs, mine, "read_graph") == (False, {"entities": [], "relations": []})

    beside(scenario)


@pytest.mark.parametrize("seed", range(3))
def test_any_course_of_calls_means_the_same(beside: Callable[..., None], seed: int) -> None:
    dice = random.Random(seed)
    names, texts = ["a", "A", "b", "née", "日本"], ["x", "yy", "X y", "ΣΑΣ", "'\"\\n", "\n", "", "🦆"]

    def some(pool: list[str]) -> list[str]:
        return dice.sample(pool, dice.randint(0, 3))

    def ends() -> list[dict[str, str]]:
        return [{"from": a, "to": dice.choice(names), "relationType": dice.choice("rs")} for a in some(names)]

    made: dict[str, Callable[[], dict[str, Any]]] = {
        "create_entities": lambda: {
            "entities": [
                {"name": name, "entityType": dice.choice(texts), "observations": some(texts)} for name in some(names)
            ]
        },
        "create_relations": lambda: {"relations": ends()},
        "add_observations": lambda: {
            "observations": [{"entityName": name, "contents": some(texts)} for name in some(names)]
        },
        "delete_entities": lambda: {"entityNames": dice.sample(names, 1)},
        "delete_observations": lambda: {
            "deletions": [{"entityName": name, "observations": some(texts)} for name in some(names)]
        },
        "delete_relations": lambda: {"relations": ends()},
        "read_graph": dict,
        "search_nodes": lambda: {"query": dice.choice([*names, *texts])},
        "open_nodes": lambda: {"names": some(names)},
    }

    async def scenario(theirs: Call, mine: Call) -> None:
        for _ in range(150):
            tool = dice.choice(list(made))
            await _same(theirs, mine, tool, **made[tool]())

    beside(scenario)


def test_the_text_holds_the_data_and_the_original_indents_a_part_of_it(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        said, original = (
            await mine("create_entities", entities=[_ADA]),
            await theirs("create_entities", entities=[_ADA]),
        )
        assert json.loads(said.text) == said.data == {"entities": [_ADA]}
        assert json.loads(original.text) == [_ADA]
        assert json.loads((await mine("read_graph")).text) == json.loads((await theirs("read_graph")).text)

    beside(scenario)


def test_doubles_and_unknown_arguments_differ_as_listed(beside: Callable[..., None]) -> None:
    doubled = {**_ADA, "observations": ["a", "a"]}

    async def scenario(theirs: Call, mine: Call) -> None:
        assert (await theirs("create_entities", entities=[doubled, doubled])).data == {"entities": [doubled] * 2}
        assert (await mine("create_entities", entities=[doubled, doubled])).data == {
            "entities": [{**_ADA, "observations": ["a"]}]
        }
        assert (await theirs("create_relations", relations=[_KNOWS, _KNOWS])).data == {"relations": [_KNOWS] * 2}
        assert (await mine("create_relations", relations=[_KNOWS, _KNOWS])).data == {"relations": [_KNOWS]}
        assert not (await theirs("search_nodes", query="x", limit=1)).is_error
        assert (await mine("search_nodes", query="x", limit=1)).is_error

    beside(scenario)
