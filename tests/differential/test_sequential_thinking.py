"""sequential-thinking beside @modelcontextprotocol/server-sequential-thinking 2026.8.31.

The same calls mean the same, but for what is listed here:

- Thoughts are kept for their user, and outlive the process; sessionId keeps several lines of thought apart, and
  read_thoughts reads them back. The original forgets all when it ends, and shows its thoughts to its log alone.
- Branches are named in the order in which they began. The original names those that look like whole numbers first, and
  fails on a branch called __proto__.
- Numbers may come as decimal digits. The original takes whatever JavaScript makes a number of: true, '0x10', '1e2'.
- null stands for an optional argument that is not there; the original refuses it.
- Arguments that no tool has are refused. The original drops them, so a misspelled one goes unnoticed.
- Thoughts, sessions and their number have bounds, and NUL characters and halves of surrogate pairs are refused.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shared.config import Settings
from tests.differential.originals import Call, from_npm, side_by_side, tools_of

_SCRIPT = "@modelcontextprotocol/server-sequential-thinking/dist/index.js"
_QUIET = {"DISABLE_THOUGHT_LOGGING": "true"}


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return from_npm(_SCRIPT)


@pytest.fixture
def beside(settings: Settings, command: tuple[str, ...]) -> Callable[..., None]:
    def play(scenario: Callable[[Call, Call], Awaitable[None]]) -> None:
        side_by_side(settings, "sequential-thinking", command, _QUIET, scenario)

    return play


def _thought(**changed: Any) -> dict[str, Any]:
    given = {"thought": "so", "thoughtNumber": 1, "totalThoughts": 3, "nextThoughtNeeded": True, **changed}
    return {name: value for name, value in given.items() if value is not ...}


async def _same(theirs: Call, mine: Call, **changed: Any) -> Any:
    """Asserts that both mean the same, and returns the data, None for an error."""
    given = _thought(**changed)
    original, said = await theirs("sequentialthinking", **given), await mine("sequentialthinking", **given)
    assert (said.is_error, said.is_error or said.data) == (original.is_error, original.is_error or original.data), given
    return None if said.is_error else said.data


def test_the_tool_of_the_original_is_there_with_its_arguments(settings: Settings, command: tuple[str, ...]) -> None:
    theirs, mine = tools_of(settings, "sequential-thinking", command, _QUIET)
    assert (set(theirs), set(mine)) == ({"sequentialthinking"}, {"sequentialthinking", "read_thoughts"})
    original, said = theirs["sequentialthinking"], mine["sequentialthinking"]
    assert said["properties"].keys() - original["properties"].keys() == {"sessionId"}
    assert original["properties"].keys() <= said["properties"].keys()
    assert sorted(said["required"]) == sorted(original["required"])


def test_the_same_thoughts_stand_the_same(beside: Callable[..., None]) -> None:
    course: list[dict[str, Any]] = [
        {},
        {"thoughtNumber": 2},
        {"thoughtNumber": 9, "totalThoughts": 4},
        {"thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False},
        {"thought": ""},
        {"thought": "dénouement 🦆\n\t'\"\\"},
        {"isRevision": True, "revisesThought": 2},
        {"isRevision": True},
        {"revisesThought": 99},
        {"branchFromThought": 1, "branchId": "b"},
        {"branchFromThought": 1},
        {"branchId": "not begun"},
        {"branchFromThought": 2, "branchId": ""},
        {"branchFromThought": 2, "branchId": "a"},
        {"branchFromThought": 1000, "branchId": "b", "isRevision": False, "needsMoreThoughts": True},
        {"branchFromThought": 2, "branchId": "B "},
        {"needsMoreThoughts": "False"},
        {"nextThoughtNeeded": "TRUE", "isRevision": "false"},
        {"nextThoughtNeeded": "false", "thoughtNumber": "3", "totalThoughts": "2", "revisesThought": " 1 "},
        {"thoughtNumber": 4.0, "branchFromThought": "1", "branchId": "c"},
        {"thoughtNumber": 2**53 - 1},
        {},
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for number, changed in enumerate(course, 1):
            assert (await _same(theirs, mine, **changed))["thoughtHistoryLength"] == number
        assert (await _same(theirs, mine))["branches"] == ["b", "a", "B ", "c"]

    beside(scenario)


def test_the_same_thoughts_are_refused_and_not_counted(beside: Callable[..., None]) -> None:
    numbers: list[Any] = [0, -1, 1.5, "one", "", "1.5", None, [], 2**53]
    refused: list[dict[str, Any]] = [
        *[{name: ...} for name in _thought()],
        {"thought": 7},
        {"thought": None},
        *[{"thoughtNumber": number} for number in numbers],
        {"totalThoughts": 0},
        *[{"nextThoughtNeeded": truth} for truth in ("yes", "", 1, None)],
        {"isRevision": "perhaps"},
        {"revisesThought": 0},
        {"branchFromThought": "0"},
        {"branchId": 7},
    ]

    async def scenario(theirs: Call, mine: Call) -> None:
        for changed in refused:
            assert await _same(theirs, mine, **changed) is None, changed
        assert (await _same(theirs, mine))["thoughtHistoryLength"] == 1

    beside(scenario)


def test_what_differs_differs_as_listed(beside: Callable[..., None]) -> None:
    async def scenario(theirs: Call, mine: Call) -> None:
        for branch in ("x", "2", "1"):
            given = _thought(branchFromThought=1, branchId=branch)
            original, said = await theirs("sequentialthinking", **given), await mine("sequentialthinking", **given)
        assert (original.data["branches"], said.data["branches"]) == (["1", "2", "x"], ["x", "2", "1"])
        given = _thought(branchFromThought=1, branchId="__proto__")
        assert (await theirs("sequentialthinking", **given)).is_error
        assert (await mine("sequentialthinking", **given)).data["branches"] == ["x", "2", "1", "__proto__"]
        for changed in ({"thoughtNumber": True}, {"thoughtNumber": "0x10"}, {"thoughtNumber": "1e2"}, {"other": 1}):
            assert not (await theirs("sequentialthinking", **_thought(**changed))).is_error
            assert (await mine("sequentialthinking", **_thought(**changed))).is_error
        for absent in ("isRevision", "revisesThought", "branchId"):
            assert (await theirs("sequentialthinking", **_thought(**{absent: None}))).is_error
            assert not (await mine("sequentialthinking", **_thought(**{absent: None}))).is_error

    beside(scenario)
