"""filesystem beside @modelcontextprotocol/server-filesystem 2026.8.31.

The same calls mean the same, but for what is listed here:

- A path is relative to the user's own root, which is shown as `/`. The original takes absolute paths of its host, below
  the folders that it was started with.
- The text beside an answer is the JSON of its data, as MCP advises; the original repeats the content as it is.
- Times in get_file_info are RFC 3339 in UTC. The original writes them as JavaScript prints a date.
- `head` and `tail` count from 1; the original takes 0 and negative numbers for nothing said.
- list_directory takes a limit and a cursor, since a folder may hold more names than an answer should.
- Of equal sizes, the first by name comes first; the original leaves that to its host.
- What is wrong is said in words for a model; the original passes on the codes of its operating system.
- Names such as .git and .ssh are refused, and so are links that lead out, hard links and files that are no files.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from shared.config import Settings
from tests.differential.originals import Call, from_npm, side_by_side, tools_of

_SCRIPT = "@modelcontextprotocol/server-filesystem/dist/index.js"
_TIME = re.compile(r"^(created|modified|accessed): .*$", re.MULTILINE)


@pytest.fixture(scope="session")
def command() -> tuple[str, ...]:
    return from_npm(_SCRIPT)


class Pair:
    """Both, each told of paths in its own way."""

    def __init__(self, theirs: Call, mine: Call, root: Path) -> None:
        self._theirs = theirs
        self._mine = mine
        self._root = str(root)
        self.unordered = False

    async def same(self, tool: str, **arguments: Any) -> Any:
        """Asserts that both mean the same, and returns the content, None for an error."""
        original = await self._theirs(tool, **{name: self._below(name, value) for name, value in arguments.items()})
        said = await self._mine(tool, **arguments)
        assert said.is_error == original.is_error, (tool, arguments, original, said)
        if said.is_error:
            return None
        theirs, mine = self._content(original.data), self._content(said.data)
        assert mine == theirs, (tool, arguments)
        return mine

    def _below(self, name: str, value: Any) -> Any:
        if name in ("path", "source", "destination"):
            return self._root + value.rstrip("/")
        return [self._root + path for path in value] if name == "paths" else value

    def _content(self, data: Any) -> Any:
        content = data["content"]
        text = content if isinstance(content, str) else json.dumps(content)
        shown = _TIME.sub(r"\1: then", text.replace(f"{self._root}/", "/").replace(self._root, "/"))
        return sorted(shown.split("\n")) if self.unordered else shown


@pytest.fixture
def beside(settings: Settings, command: tuple[str, ...], tmp_path: Path) -> Callable[..., None]:
    root = tmp_path / "original"
    root.mkdir()

    def play(scenario: Callable[[Pair], Awaitable[None]]) -> None:
        async def both(theirs: Call, mine: Call) -> None:
            await scenario(Pair(theirs, mine, root))

        side_by_side(settings, "filesystem", (*command, str(root)), {}, both)

    return play


def test_the_tools_of_the_original_are_there_with_their_arguments(
    settings: Settings, command: tuple[str, ...], tmp_path: Path
) -> None:
    theirs, mine = tools_of(settings, "filesystem", (*command, str(tmp_path)), {})
    assert mine.keys() == theirs.keys()
    for tool, schema in theirs.items():
        added = {"limit", "cursor"} if tool == "list_directory" else set()
        assert mine[tool].get("properties", {}).keys() == schema.get("properties", {}).keys() | added, tool
        assert sorted(mine[tool].get("required", [])) == sorted(schema.get("required", [])), tool


CONTENTS = ["", "one", "one\ntwo\nthree\n", "a\r\nb\r\n", "ü☃ 日本語\n\ttab ", "\n\n\n", "x" * 100_000]


def test_what_is_written_is_read_whole_and_in_part(beside: Callable[..., None]) -> None:
    async def scenario(pair: Pair) -> None:
        for number, content in enumerate(CONTENTS):
            path = f"/{number}.txt"
            await pair.same("write_file", path=path, content=content)
            assert await pair.same("read_text_file", path=path) == content
            assert await pair.same("read_file", path=path) == content
            for lines in (1, 2, 99):
                await pair.same("read_text_file", path=path, head=lines)
                await pair.same("read_text_file", path=path, tail=lines)
        await pair.same("write_file", path="/1.txt", content="over")
        assert await pair.same("read_text_file", path="/1.txt") == "over"
        await pair.same("read_multiple_files", paths=["/1.txt", "/2.txt", "/1.txt"])
        await pair.same("write_file", path="/dot.png", content="a dot")
        for name in ("/dot.png", "/1.txt"):
            await pair.same("read_media_file", path=name)

    beside(scenario)


EDITS: list[list[dict[str, str]]] = [
    [{"oldText": "two", "newText": "zwei"}],
    [{"oldText": "one", "newText": "1"}, {"oldText": "three", "newText": "3\n3a"}],
    [{"oldText": "  two  ", "newText": "2"}],
    [{"oldText": "one\ntwo", "newText": ""}],
    [{"oldText": "o", "newText": "0"}],
    [{"oldText": "one", "newText": "$& $1 \\1"}],
    [],
]


def test_edits_change_the_same_and_show_the_same_difference(beside: Callable[..., None]) -> None:
    async def scenario(pair: Pair) -> None:
        for edits in EDITS:
            await pair.same("write_file", path="/a.txt", content="one\n  two\n\tthree\nfour\nfive\n")
            shown = await pair.same("edit_file", path="/a.txt", edits=edits, dryRun=True)
            assert await pair.same("read_text_file", path="/a.txt") == "one\n  two\n\tthree\nfour\nfive\n"
            assert await pair.same("edit_file", path="/a.txt", edits=edits) == shown
            await pair.same("read_text_file", path="/a.txt")
        assert await pair.same("edit_file", path="/a.txt", edits=[{"oldText": "nothing", "newText": "x"}]) is None

    beside(scenario)


async def _some(pair: Pair) -> None:
    for folder in ("/d", "/d/e", "/d/e", "/empty", "/Z/deep/er"):
        await pair.same("create_directory", path=folder)
    for name, size in (("/a.txt", 18), ("/b.md", 5000), ("/d/c.txt", 0), ("/d/e/f.TXT", 250_000), ("/Z/deep/er/x", 1)):
        await pair.same("write_file", path=name, content="x" * size)


def test_folders_list_the_same(beside: Callable[..., None]) -> None:
    async def scenario(pair: Pair) -> None:
        await _some(pair)
        for path in ("/", "/d", "/empty", "/Z"):
            await pair.same("list_directory", path=path)
            await pair.same("directory_tree", path=path)
            await pair.same("list_directory_with_sizes", path=path, sortBy="name")
            pair.unordered = True
            await pair.same("list_directory_with_sizes", path=path, sortBy="size")
            pair.unordered = False
        for patterns in (["d"], ["**/e"], ["*.txt"], ["nothing"], []):
            await pair.same("directory_tree", path="/", excludePatterns=patterns)
        await pair.same("list_allowed_directories")
        for path in ("/d/c.txt", "/a.txt"):
            await pair.same("get_file_info", path=path)

    beside(scenario)


PATTERNS = [
    "*",
    "**",
    "**/*",
    "*.txt",
    "**/*.txt",
    "**/*.TXT",
    "d/*",
    "**/e",
    "?.md",
    "[ab].*",
    "*.{txt,md}",
    "nothing",
]


def test_searches_find_the_same(beside: Callable[..., None]) -> None:
    async def scenario(pair: Pair) -> None:
        await _some(pair)
        for pattern in PATTERNS:
            await pair.same("search_files", path="/", pattern=pattern)
            await pair.same("search_files", path="/d", pattern=pattern)
        for excluded in (["d/**"], ["**/*.txt"], ["e"], ["*"]):
            await pair.same("search_files", path="/", pattern="**/*", excludePatterns=excluded)

    beside(scenario)


def test_what_is_moved_is_where_it_was_moved_to(beside: Callable[..., None]) -> None:
    async def scenario(pair: Pair) -> None:
        await _some(pair)
        await pair.same("move_file", source="/a.txt", destination="/d/moved.txt")
        await pair.same("move_file", source="/d", destination="/elsewhere")
        assert await pair.same("move_file", source="/b.md", destination="/elsewhere/moved.txt") is None
        await pair.same("directory_tree", path="/")

    beside(scenario)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("read_text_file", {"path": "/none"}),
    ("read_text_file", {"path": "/d"}),
    ("read_text_file", {"path": "/a.txt", "head": 1, "tail": 1}),
    ("read_text_file", {"path": "/../../etc/passwd"}),
    ("read_text_file", {"path": "/a.txt/b"}),
    ("read_media_file", {"path": "/none"}),
    ("read_multiple_files", {"paths": []}),
    ("write_file", {"path": "/no/such/folder", "content": ""}),
    ("write_file", {"path": "/d", "content": ""}),
    ("write_file", {"path": "/../out", "content": ""}),
    ("create_directory", {"path": "/a.txt"}),
    ("list_directory", {"path": "/none"}),
    ("list_directory", {"path": "/a.txt"}),
    ("directory_tree", {"path": "/none"}),
    ("move_file", {"source": "/none", "destination": "/x"}),
    ("move_file", {"source": "/a.txt", "destination": "/../x"}),
    ("get_file_info", {"path": "/none"}),
    ("edit_file", {"path": "/none", "edits": []}),
    ("list_directory_with_sizes", {"path": "/", "sortBy": "age"}),
]


def test_the_same_calls_are_refused(beside: Callable[..., None]) -> None:
    async def scenario(pair: Pair) -> None:
        await _some(pair)
        for tool, arguments in REFUSED:
            assert await pair.same(tool, **arguments) is None, (tool, arguments)

    beside(scenario)
