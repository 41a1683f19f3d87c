"""What can be read, and in which form it is answered."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.errors import ToolError
from shared.ports.files import UserFiles

TWELVE = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven\ntwelve\n"


@pytest.mark.parametrize("tool", ["read_text_file", "read_file"])
@pytest.mark.parametrize(
    "content, lines, answer",
    [
        (TWELVE, {}, TWELVE),
        (TWELVE, {"head": 2}, "one\ntwo"),
        (TWELVE, {"head": 50}, TWELVE[:-1]),
        (TWELVE, {"tail": 1}, ""),
        (TWELVE, {"tail": 2}, "twelve\n"),
        (TWELVE, {"tail": 50}, TWELVE),
        ("a\nb", {"tail": 1}, "b"),
        ("a\nb", {"head": 2}, "a\nb"),
        ("x\r\ny\r\n", {"tail": 5}, "x\ny\n"),
        ("x\r\ny\r\n", {}, "x\r\ny\r\n"),
        ("", {"head": 1}, ""),
        ("", {"tail": 1}, ""),
        ("\n".join(["ü" * 1000] * 200), {"tail": 150}, "\n".join(["ü" * 1000] * 150)),
    ],
)
def test_a_text_is_read_whole_or_by_lines(
    tool: str, content: str, lines: dict[str, int], answer: str, root: UserFiles, act: Any
) -> None:
    root.write("a.txt", content.encode())
    assert act(tool, path="a.txt", **lines) == answer


def test_head_and_tail_exclude_one_another(root: UserFiles, act: Any) -> None:
    root.write("a.txt", b"a")
    with pytest.raises(ToolError, match="exclude"):
        act("read_text_file", path="a.txt", head=1, tail=1)
    with pytest.raises(ValidationError):
        act("read_text_file", path="a.txt", head=0)


def test_bytes_that_are_no_utf8_are_replaced_and_what_is_no_text_is_said_to_be_none(root: UserFiles, act: Any) -> None:
    root.write("latin.txt", b"caf\xe9")
    root.write("data.bin", b"a\0b")
    assert act("read_text_file", path="latin.txt") == "caf\ufffd"
    with pytest.raises(ToolError, match="read_media_file"):
        act("read_text_file", path="data.bin")


def test_a_text_too_large_to_answer_can_be_read_in_part(root: UserFiles, act: Any) -> None:
    root.write("big.txt", b"x" * 999 + b"\n" + (b"y" * 999 + b"\n") * 6000)
    with pytest.raises(ToolError, match="larger than"):
        act("read_text_file", path="big.txt")
    with pytest.raises(ToolError, match="ask for fewer"):
        act("read_text_file", path="big.txt", head=6000)
    with pytest.raises(ToolError, match="ask for fewer"):
        act("read_text_file", path="big.txt", tail=6000)
    assert act("read_text_file", path="big.txt", head=1) == "x" * 999
    assert act("read_text_file", path="big.txt", tail=2) == "y" * 999 + "\n"


@pytest.mark.parametrize(
    "name, block",
    [
        ("p.PNG", {"type": "image", "data": "SUQ=", "mimeType": "image/png"}),
        ("p.jpg", {"type": "image", "data": "SUQ=", "mimeType": "image/jpeg"}),
        ("p.svg", {"type": "image", "data": "SUQ=", "mimeType": "image/svg+xml"}),
        ("s.mp3", {"type": "audio", "data": "SUQ=", "mimeType": "audio/mpeg"}),
        (
            "a b.bin",
            {
                "type": "resource",
                "resource": {
                    "uri": "file:///a%20b.bin",
                    "mimeType": "application/octet-stream",
                    "blob": "SUQ=",
                },
            },
        ),
    ],
)
def test_media_are_blocks_of_the_type_their_name_says(name: str, block: object, root: UserFiles, act: Any) -> None:
    root.write(name, b"ID")
    assert act("read_media_file", path=name) == [block]


def test_several_files_are_answered_together_and_one_that_fails_stops_no_other(root: UserFiles, act: Any) -> None:
    root.write("a", b"A")
    root.write("b", b"B\n")
    assert act("read_multiple_files", paths=["a", "no", "b"]) == (
        "a:\nA\n\n---\nno: Error - there is no file or folder '/no'\n---\nb:\nB\n\n"
    )


def test_facts_are_lines_of_key_and_value(root: UserFiles, act: Any) -> None:
    root.write("a", b"12345")
    lines = act("get_file_info", path="a").split("\n")
    assert [line.partition(": ")[0] for line in lines] == (
        ["size", "created", "modified", "accessed", "isDirectory", "isFile", "permissions"]
    )
    assert [lines[0], *lines[4:]] == ["size: 5", "isDirectory: false", "isFile: true", "permissions: 644"]
    assert lines[1].endswith("Z")


def test_the_only_allowed_directory_is_the_root(act: Any) -> None:
    assert act("list_allowed_directories") == "Allowed directories:\n/"
