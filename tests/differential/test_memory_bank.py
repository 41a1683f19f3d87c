"""memory-bank beside @allpepper/memory-bank-mcp 0.2.2.

The same calls mean the same, but for what is listed here:

- Lists are JSON arrays in the order of their names. The original joins names with commas, in the order of the folder.
- memory_bank_write of a file that exists is an error. The original says that it was written, and has done nothing.
- Names may hold letters of every script and single blanks, in one normal form; the original takes ASCII alone when
  it writes, and anything without '/' and '..' when it reads. Ours keeps one rule for both.
- No name begins or ends with a dot: the original takes '.' for a project, and so writes into the folder above all.
- A project has no life of its own: the original leaves an empty folder behind a write that failed.
- What is wrong is said in words for a model. The original answers JSON that may hold paths of its host.
- There is memory_bank_delete, since here a bank has a bound.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.config import Settings
from tests.differential.originals import Call, Said, from_npm, side_by_side, tools_of

_SCRIPT = "@allpepper/memory-bank-mcp/dist/main/index.js"


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return from_npm(_SCRIPT)


@pytest.fixture
def beside(settings: Settings, command: tuple[str, ...], tmp_path: Path) -> Callable[..., None]:
    def play(scenario: Callable[[Call, Call], Awaitable[None]]) -> None:
        (tmp_path / "bank").mkdir()
        environ = {"MEMORY_BANK_ROOT": str(tmp_path / "bank")}
        side_by_side(settings, "memory-bank", command, environ, scenario)

    return play


def _file(project: str, name: str, content: str | None = None) -> dict[str, str]:
    said = {"projectName": project, "fileName": name}
    return said if content is None else {**said, "content": content}


def test_the_tools_of_the_original_are_there_with_their_arguments(
    settings: Settings, command: tuple[str, ...], tmp_path: Path
) -> None:
    theirs, mine = tools_of(settings, "memory-bank", command, {"MEMORY_BANK_ROOT": str(tmp_path)})
    assert set(mine) - set(theirs) == {"memory_bank_delete"}
    for tool, schema in theirs.items():
        assert mine[tool].get("properties", {}).keys() == schema["properties"].keys(), tool
        assert sorted(mine[tool].get("required", [])) == sorted(schema["required"]), tool


def test_the_same_calls_say_the_same(beside: Callable[..., None]) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("memory_bank_write", _file("app", "projectbrief.md", "# Brief\n\nÜber ☃\r\n\tend ")),
        ("memory_bank_read", _file("app", "projectbrief.md")),
        ("memory_bank_update", _file("app", "projectbrief.md", "new\n")),
        ("memory_bank_read", _file("app", "projectbrief.md")),
        ("memory_bank_write", _file("my.proj_2-x", "a.b-c_d", "x" * 100_000)),
        ("memory_bank_read", _file("my.proj_2-x", "a.b-c_d")),
        ("memory_bank_write", _file("App", "projectbrief.md", "another project")),
        ("memory_bank_read", _file("app", "projectbrief.md")),
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for tool, arguments in calls:
            said = await mine(tool, **arguments)
            assert said == await theirs(tool, **arguments), (tool, arguments)
            assert not said.is_error

    beside(scenario)


def test_the_same_calls_are_refused(beside: Callable[..., None]) -> None:
    missing = [("memory_bank_read", _file("app", "y.md")), ("memory_bank_update", _file("app", "y.md", "c"))]
    missing += [(tool, {**arguments, "projectName": "none"}) for tool, arguments in missing]
    names = ("../x", "..", "a/b", "/etc/passwd", "x..md", "", "a\n", "a\\b", "a:b", "../app")
    hostile = [("memory_bank_write", _file(*pair, "c")) for name in names for pair in (("app", name), (name, "x"))]
    hostile += [("memory_bank_read", _file(*pair)) for name in names for pair in (("app", name), (name, "x"))]
    empty = [(f"memory_bank_{what}", _file("app", "x.md", "")) for what in ("write", "update")]
    lacking: list[tuple[str, dict[str, Any]]] = [
        ("memory_bank_read", {"projectName": "app"}),
        ("memory_bank_write", {}),
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for call in (theirs, mine):
            await call("memory_bank_write", **_file("app", "x.md", "kept"))
        for tool, arguments in [*missing, *hostile, *empty, *lacking, ("list_project_files", {"projectName": "none"})]:
            said = await theirs(tool, **arguments), await mine(tool, **arguments)
            assert [answer.is_error for answer in said] == [True, True], (tool, arguments, said)
        assert await theirs("memory_bank_read", **_file("app", "x.md")) == Said("kept")
        assert await mine("memory_bank_read", **_file("app", "x.md")) == Said("kept")

    beside(scenario)


def test_lists_hold_the_same_names(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        assert (await theirs("list_projects")).text == ""
        assert (await mine("list_projects")).text == "[]"
        for call in (theirs, mine):
            for project, name in (("b", "2.md"), ("a", "2.md"), ("a", "1.md"), ("C", "x")):
                await call("memory_bank_write", **_file(project, name, "c"))
        for tool, arguments in (("list_projects", {}), ("list_project_files", {"projectName": "a"})):
            said = (await theirs(tool, **arguments)).text.split(",")
            assert json.loads((await mine(tool, **arguments)).text) == sorted(said)

    beside(scenario)


def test_a_second_write_changes_nothing_and_only_ours_says_so(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        said = []
        for call in (theirs, mine):
            await call("memory_bank_write", **_file("a", "x.md", "first"))
            said.append(await call("memory_bank_write", **_file("a", "x.md", "second")))
            assert await call("memory_bank_read", **_file("a", "x.md")) == Said("first")
        assert [answer.is_error for answer in said] == [False, True]

    beside(scenario)


def test_what_the_original_takes_for_a_name_and_ours_does_not(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for project, name in ((".", "x.md"), ("a", ".hidden"), ("a", "end."), (".git", "config")):
            said = [await call("memory_bank_write", **_file(project, name, "c")) for call in (theirs, mine)]
            assert [answer.is_error for answer in said] == [False, True], (project, name)

    beside(scenario)


def test_what_ours_takes_for_a_name_and_the_original_does_not(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for name in ("Überblick.md", "日本語.md", "two words.md"):
            said = [await call("memory_bank_write", **_file("a", name, "c")) for call in (theirs, mine)]
            assert [answer.is_error for answer in said] == [True, False], name

    beside(scenario)
