"""Writing, editing and moving."""

import difflib
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.agents.filesystem._diff import fenced_diff
from functions.agents.filesystem._edits import Replacement, edited
from shared.errors import ToolError
from shared.ports.files import UserFiles

CODE = "def f():\n    if x:\n        return 1\n    return 2\n"


def text(root: UserFiles, path: str) -> str:
    return root.read_bytes(path, limit_bytes=10_000).decode()


def test_a_file_is_written_and_the_path_said_as_it_was_given(root: UserFiles, act: Any) -> None:
    assert act("write_file", path="a.txt", content="hellö") == "Successfully wrote to a.txt"
    assert text(root, "/a.txt") == "hellö"


def test_folders_are_made_and_files_moved(root: UserFiles, act: Any) -> None:
    root.write("a", b"1")
    assert act("create_directory", path="d/e") == "Successfully created directory d/e"
    assert act("move_file", source="a", destination="d/e/b") == "Successfully moved a to d/e/b"
    assert text(root, "d/e/b") == "1"


def test_an_edit_answers_a_diff_and_a_dry_run_changes_nothing(root: UserFiles, act: Any) -> None:
    root.write("src.py", b"a\nb\nc")
    diff = (
        f"```diff\nIndex: /src.py\n{'=' * 67}\n--- /src.py\toriginal\n+++ /src.py\tmodified\n"
        "@@ -1,3 +1,4 @@\n a\n-b\n+B\n+B\n c\n\\ No newline at end of file\n```\n\n"
    )
    edits = [{"oldText": "b", "newText": "B\nB"}]
    assert act("edit_file", path="src.py", edits=edits, dryRun=True) == diff
    assert text(root, "src.py") == "a\nb\nc"
    assert act("edit_file", path="src.py", edits=edits) == diff
    assert text(root, "src.py") == "a\nB\nB\nc"


def test_edits_follow_one_another_and_are_all_done_or_none(root: UserFiles, act: Any) -> None:
    root.write("a", b"one two one")
    act(
        "edit_file",
        path="a",
        edits=[{"oldText": "one", "newText": "two"}, {"oldText": "two", "newText": "three"}],
    )
    assert text(root, "a") == "three two one"
    with pytest.raises(ToolError, match="edit 2: no such text"):
        act(
            "edit_file",
            path="a",
            edits=[{"oldText": "one", "newText": "1"}, {"oldText": "zzz", "newText": ""}],
        )
    assert text(root, "a") == "three two one"


@pytest.mark.parametrize(
    "old, new, wanted",
    [
        ("if x:\n    return 1", "if y:\n    return 3", CODE.replace("x:", "y:").replace("1", "3")),
        ("        if x:\n            return 1", "        return 3", "def f():\n    return 3\n    return 2\n"),
        ("  return 1  \n  return 2", "return 0", "def f():\n    if x:\n        return 0\n"),
        ("\tif x:\n\t\treturn 1", "\tif x:\n\n\t\tpass", "def f():\n    if x:\n\n    \tpass\n    return 2\n"),
    ],
)
def test_a_quotation_with_other_indentation_is_found_and_replaced_in_place(old: str, new: str, wanted: str) -> None:
    assert edited(CODE, [Replacement(old, new)]) == wanted


def test_line_ends_of_windows_are_kept_where_all_are_so(root: UserFiles, act: Any) -> None:
    root.write("a", b"one\r\ntwo\r\n")
    act("edit_file", path="a", edits=[{"oldText": "one\ntwo", "newText": "1\n2\n3"}])
    assert text(root, "a") == "1\r\n2\r\n3\r\n"


def test_a_file_that_is_no_utf8_is_not_damaged_by_an_edit(root: UserFiles, act: Any) -> None:
    root.write("a", b"caf\xe9 one")
    with pytest.raises(ToolError, match="not UTF-8"):
        act("edit_file", path="a", edits=[{"oldText": "one", "newText": "two"}])


def test_the_fence_is_longer_than_any_in_the_text() -> None:
    assert fenced_diff("", "````\n", "/a").startswith("`````diff\n")


def test_texts_that_are_the_same_have_no_hunk() -> None:
    assert fenced_diff("a\n", "a\n", "/a").endswith("+++ /a\tmodified\n```\n\n")


def _applied(diff: str, before: str) -> str:
    """The text after a diff, by its own words alone."""
    old, done, at, marked = before.splitlines(keepends=True), [], 0, ""
    for line in diff.split("\n")[5:-3]:
        if line.startswith("@@"):
            start = int(line.split(" ")[1][1:].partition(",")[0])
            start = max(0, start - 1) if not line.split(" ")[1].endswith(",0") else start
            done += old[at:start]
            at = start
        elif line.startswith("\\"):
            if marked != "-":
                done[-1] = done[-1].removesuffix("\n")
        else:
            marked = line[0]
            at += marked in " -"
            if marked in " +":
                done.append(line[1:] + "\n")
    return "".join(done + old[at:])


texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=40).map("".join)


@given(texts, texts, st.sampled_from(["", "x"]), st.sampled_from(["", "x"]))
def test_a_diff_leads_from_one_text_to_the_other(before: str, after: str, end: str, other_end: str) -> None:
    before, after = before + end, after + other_end
    assert _applied(fenced_diff(before, after, "/a"), before) == after


@given(texts, texts)
def test_a_diff_is_no_longer_than_one_of_the_standard_library(before: str, after: str) -> None:
    theirs = list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm=""))[2:]
    ours = fenced_diff(before, after, "/a").split("\n")[5:]
    assert sum(line[:1] in ("-", "+") for line in ours if line) <= sum(line[0] in "-+" for line in theirs)


@pytest.mark.parametrize("every", [1, 3, 700])
def test_a_diff_of_a_large_text_is_quick(every: int) -> None:
    before = "".join(f"line {number % 700}\n" for number in range(100_000))
    after = "".join(f"{line}{'!' if number % every == 0 else ''}\n" for number, line in enumerate(before.splitlines()))
    started = time.perf_counter()
    diff = fenced_diff(before, after, "/a")
    assert time.perf_counter() - started < 10
    assert _applied(diff, before) == after
