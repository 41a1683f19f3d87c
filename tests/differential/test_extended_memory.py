"""extended-memory beside extended-memory-mcp 0.9.0, which keeps its contexts in SQLite.

The same calls mean the same, but for what is listed here:

- load_contexts begins with the most important, of these the newest, so that a page that is full has left out what
  matters least. The original keeps the newest and shows the oldest first, and no more than ten, whatever `limit` is.
- `limit` is 10 where nothing is said, as the original's schema has it; its code takes 30. With `offset`, which is
  ours, a later page can be loaded.
- What the original's schema says is kept to: importance from 1 to 10; it stores 0 and 11. A `limit` is at least 1.
- Blank contexts are refused; the original saves them. Names that hold control characters are refused.
- The tags beside loaded contexts are those of the project; the original shows the tags of all.
- `min_usage` is kept to; the original lists a tag used once in the last day whatever is asked for. Of tags used
  equally often and last in the same context, the first by name comes first; the original leaves that open.
- Where there are no tags, ours says so; the original's answer is no MCP result, and clients reject it.
- list_all_projects adds what each project holds and when it was last used.
- The words differ; ids, projects, importance, tags and contents are the same. Beside its text, an answer of ours
  has the ids as data.
- `memory://startup-context` and `memory_instructions` are not served: load_contexts gives the one, and the
  descriptions of the tools say the other.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from shared.config import Settings
from tests.differential.originals import Call, from_pypi, side_by_side, tools_of


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return from_pypi("extended-memory", "extended_memory_mcp.server", "mcp_server_entry")


def _environ(folder: Path) -> dict[str, str]:
    return {"STORAGE_CONNECTION_STRING": f"sqlite:///{folder}/memory.db", "HOME": str(folder)}


@pytest.fixture
def beside(settings: Settings, command: tuple[str, ...], tmp_path: Path) -> Callable[..., None]:
    def play(scenario: Callable[[Call, Call], Awaitable[None]]) -> None:
        side_by_side(settings, "extended-memory", command, _environ(tmp_path), scenario)

    return play


class Shown(NamedTuple):
    context_id: int
    importance: int
    tags: str
    content: str


_SAVED = re.compile(r"Context ID: (\d+)\n- Project: (.*)\n- Importance: (\d+)/10\n")
_CONTEXT = re.compile(
    r"^\(ID: (\d+), Importance: (\d+)/10.*\)\n(?:\W*Tags: (.*)\n)?(?:📝 )?((?:.|\n)*?)(?:\n\n|\Z)(?=\(ID: |\Z)",
    re.MULTILINE,
)
_TAG = re.compile(r"^[•-] `?([^`\n]+?)`? \((\d+)", re.MULTILINE)
_PROJECT = re.compile(r"^- (.+?) \(", re.MULTILINE)


async def _saved(call: Call, **arguments: Any) -> tuple[str, ...]:
    """Id, project and importance."""
    found = _SAVED.search((await call("save_context", **arguments)).text)
    assert found is not None
    return found.groups()


async def _loaded(call: Call, **arguments: Any) -> list[Shown]:
    """By id, since the order differs."""
    found = _CONTEXT.findall((await call("load_contexts", **arguments)).text)
    return sorted(Shown(int(number), int(importance), tags, content) for number, importance, tags, content in found)


async def _tags(call: Call, **arguments: Any) -> list[tuple[str, str]]:
    return _TAG.findall((await call("get_popular_tags", **arguments)).text)


CONTEXTS: list[dict[str, Any]] = [
    {"content": "hello", "importance_level": 8, "tags": ["A", "b ", " "], "project_id": "My_Proj-x"},
    {"content": "no more than this"},
    {
        "content": "third " * 50 + "end\nsecond line",
        "importance_level": 9,
        "tags": ["c", "a", "a"],
        "project_id": "my proj x",
    },
    {"content": "low", "importance_level": 3, "tags": ["a"], "project_id": " MY  proj-X"},
    {"content": "Über ☃ 日本語", "importance_level": 10, "tags": ["Ü", "zwei Worte"], "project_id": "Überblick"},
    {"content": "seven", "importance_level": 7, "project_id": ""},
]


def test_the_tools_of_the_original_are_there_with_their_arguments(
    settings: Settings, command: tuple[str, ...], tmp_path: Path
) -> None:
    theirs, mine = tools_of(settings, "extended-memory", command, _environ(tmp_path))
    assert mine.keys() == theirs.keys()
    for tool, schema in theirs.items():
        added = {"offset", "init_load"} if tool == "load_contexts" else set()
        assert mine[tool].get("properties", {}).keys() == schema["properties"].keys() | added, tool
        assert mine[tool].get("required", []) == schema.get("required", []), tool
        for name, declared in schema["properties"].items():
            assert mine[tool]["properties"][name].get("default") in (declared.get("default"), 5, None)


def test_contexts_are_saved_under_the_same_ids_and_projects(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for context in CONTEXTS:
            assert await _saved(mine, **context) == await _saved(theirs, **context), context

    beside(scenario)


LOADS: list[dict[str, Any]] = [
    {},
    {"project_id": "my-proj_X"},
    {"project_id": "my proj x", "importance_level": 1},
    {"project_id": "my proj x", "importance_level": 9},
    {"project_id": "my proj x", "importance_level": 1, "tags_filter": ["B", "c"]},
    {"project_id": "my proj x", "importance_level": 1, "tags_filter": ["A "]},
    {"project_id": "my proj x", "tags_filter": ["a"]},
    {"project_id": "my proj x", "tags_filter": ["nothing"]},
    {"project_id": "my proj x", "tags_filter": [" "]},
    {"project_id": "überblick", "tags_filter": ["zwei worte"]},
    {"importance_level": 5},
    {"importance_level": 5, "init_load": False},
    {"project_id": "unheard of"},
]


def test_the_same_contexts_are_loaded(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for call in (theirs, mine):
            for context in CONTEXTS:
                await _saved(call, **context)
        for asked in LOADS:
            assert await _loaded(mine, **asked) == await _loaded(theirs, **asked), asked
        assert len(await _loaded(mine, project_id="my proj x", importance_level=1)) == 3

    beside(scenario)


def test_projects_and_tags_are_the_same(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for call in (theirs, mine):
            for context in CONTEXTS:
                await _saved(call, **context)
        listed = [sorted(_PROJECT.findall((await call("list_all_projects")).text)) for call in (theirs, mine)]
        assert listed[0] == listed[1] == ["general", "my proj x", "überblick"]
        for asked in ({"project_id": "My-Proj_x"}, {"project_id": "überblick"}):
            assert sorted(await _tags(mine, **asked)) == sorted(await _tags(theirs, **asked)) != []
        # No two of these are used equally often and last in the same context.
        assert await _tags(mine, project_id="my proj x") == await _tags(theirs, project_id="my proj x")
        first = {"project_id": "my proj x", "limit": 1}
        assert await _tags(mine, **first) == await _tags(theirs, **first) == [("a", "3")]

    beside(scenario)


def test_what_is_forgotten_is_gone_and_its_id_does_not_come_back(beside: Callable[..., None]) -> None:
    numbers = (6, 6, 99, -1)

    async def scenario(theirs: Call, mine: Call) -> None:
        for call in (theirs, mine):
            for context in CONTEXTS:
                await _saved(call, **context)
            said = [await call("forget_context", context_id=number) for number in numbers]
            assert [answer.is_error for answer in said] == [False] * 4
            assert ["not found" in answer.text for answer in said] == [False, True, True, True]
            assert all(f"Context ID: {number}" in answer.text for number, answer in zip(numbers, said, strict=True))
            assert await _loaded(call) == []
            assert (await _saved(call, content="x"))[0] == "7"

    beside(scenario)


def test_a_full_page_holds_the_newest_there_and_the_most_important_here(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for call in (theirs, mine):
            for importance in (10, 7, 9, 7):
                await _saved(call, content="x", importance_level=importance)
        assert [shown.context_id for shown in await _loaded(theirs, limit=2)] == [3, 4]
        assert [shown.context_id for shown in await _loaded(mine, limit=2)] == [1, 3]
        assert [shown.context_id for shown in await _loaded(mine, limit=2, offset=2)] == [2, 4]

    beside(scenario)


def test_what_the_original_lets_pass_and_ours_does_not(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        calls: list[tuple[str, dict[str, Any]]] = [
            ("save_context", {"content": ""}),
            ("save_context", {"content": "x", "importance_level": 0}),
            ("save_context", {"content": "x", "importance_level": 11}),
            ("load_contexts", {"limit": -1}),
            ("load_contexts", {"tags_filter": [f"t{n}" for n in range(11)]}),
        ]
        for tool, arguments in calls:
            said = [await call(tool, **arguments) for call in (theirs, mine)]
            assert [answer.is_error for answer in said] == [False, True], (tool, arguments)
        # Of these it says so, if not as an error.
        assert "Error" in (await theirs("load_contexts", tags_filter=[f"t{n}" for n in range(11)])).text

    beside(scenario)


def test_tags_that_are_used_too_seldom_are_left_out_here(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        with pytest.raises(ValidationError):
            await theirs("get_popular_tags")
        assert await _tags(mine) == []
        for call in (theirs, mine):
            await _saved(call, content="x", tags=["once"])
        assert await _tags(theirs, min_usage=2) == [("once", "1")]
        assert await _tags(mine, min_usage=2) == []

    beside(scenario)
