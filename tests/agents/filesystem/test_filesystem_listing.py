"""Listing, trees and searches."""

import json
import time
from typing import Any

import pytest

from functions.agents.filesystem._glob import Glob
from shared.errors import ToolError
from shared.ports.files import UserFiles


@pytest.fixture
def filled(root: UserFiles) -> UserFiles:
    root.make_directory("src/inner")
    root.make_directory("empty")
    root.write("a.txt", b"x" * 2048)
    root.write("B.md", b"")
    root.write("src/a.py", b"1")
    root.write("src/inner/b.py", b"2")
    return root


def test_a_folder_is_listed_one_name_a_line(filled: UserFiles, act: Any) -> None:
    assert act("list_directory", path=".") == "[FILE] B.md\n[FILE] a.txt\n[DIR] empty\n[DIR] src"
    assert act("list_directory", path="empty") == ""


def test_a_big_folder_is_listed_page_by_page(filled: UserFiles, act: Any) -> None:
    assert act("list_directory", path="/", limit=2) == "[FILE] B.md\n[FILE] a.txt\n[MORE] cursor: a.txt"
    assert act("list_directory", path="/", limit=2, cursor="a.txt") == "[DIR] empty\n[DIR] src"


def test_sizes_are_shown_by_name_or_largest_first(filled: UserFiles, act: Any) -> None:
    empty, src = f"[DIR] {'empty':<30} ", f"[DIR] {'src':<30} "
    small, large = f"[FILE] {'B.md':<30} {'0 B':>10}", f"[FILE] {'a.txt':<30} {'2.00 KB':>10}"
    sums = ["", "Total: 2 files, 2 directories", "Combined size: 2.00 KB"]
    assert act("list_directory_with_sizes", path="/").split("\n") == [large, small, empty, src, *sums]
    assert act("list_directory_with_sizes", path="/", sortBy="size").split("\n")[2] == large


def test_a_tree_is_json_with_children_for_folders_alone(filled: UserFiles, act: Any) -> None:
    inner = {"name": "inner", "type": "directory", "children": [{"name": "b.py", "type": "file"}]}
    text = act("directory_tree", path="/src")
    assert json.loads(text) == [{"name": "a.py", "type": "file"}, inner]
    assert text.startswith('[\n  {\n    "name": "a.py",\n    "type": "file"\n  },')
    assert act("directory_tree", path="empty") == "[]"


@pytest.mark.parametrize(
    "patterns, names",
    [(["inner"], ["a.py"]), (["*.py"], ["inner"]), (["a.py", "inner"], []), (["**/b.py"], ["a.py", "inner"])],
)
def test_a_tree_leaves_out_what_is_excluded(patterns: list[str], names: list[str], filled: UserFiles, act: Any) -> None:
    tree = json.loads(act("directory_tree", path="src", excludePatterns=patterns))
    assert [node["name"] for node in tree] == names


@pytest.mark.parametrize(
    "path, arguments, answer",
    [
        ("/", {"pattern": "*.py"}, "No matches found"),
        ("/", {"pattern": "**/*.py"}, "/src/a.py\n/src/inner/b.py"),
        ("./src/../src", {"pattern": "*.py"}, "/src/a.py"),
        ("src", {"pattern": "**"}, "/src/a.py\n/src/inner\n/src/inner/b.py"),
        ("/", {"pattern": "**/*", "excludePatterns": ["src/**", "*.{txt,md}"]}, "/empty\n/src"),
    ],
)
def test_a_search_answers_full_paths(
    path: str, arguments: dict[str, Any], answer: str, filled: UserFiles, act: Any
) -> None:
    assert act("search_files", path=path, **arguments) == answer


@pytest.mark.parametrize(
    "pattern, path, matches",
    [
        ("a/**", "a", False),
        ("a/**", "a/b/c", True),
        ("a/**/b", "a/b", True),
        ("**/b", "b", True),
        ("a*c", "abbc", True),
        ("a*c", "a/c", False),
        ("[!a-c]x", "dx", True),
        ("[!a-c]x", "bx", False),
        ("{a,b/{c,d}}.py", "b/d.py", True),
        ("!*.py", "a.txt", True),
        ("?", ".", True),
        (".*", ".env", True),
        ("[", "[", True),
        (r"\*", "*", True),
        (r"\*", "a", False),
    ],
)
def test_a_glob_matches_whole_paths(pattern: str, path: str, matches: bool) -> None:
    assert Glob(pattern).matches(path) is matches


def test_no_pattern_takes_long() -> None:
    started = time.perf_counter()
    Glob("*a" * 400 + "b").matches("a" * 255)
    Glob("**/a/" * 150 + "b").matches("a/" * 60 + "c")
    assert time.perf_counter() - started < 0.5


def test_a_pattern_with_too_many_alternatives_is_refused() -> None:
    with pytest.raises(ToolError, match="alternatives"):
        Glob("{a,b}" * 20)
