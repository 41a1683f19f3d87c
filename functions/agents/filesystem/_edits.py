"""Replacing pieces of a text that a model quotes from memory, often with other indentation."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.errors import ToolError


class Replacement(NamedTuple):
    old: str
    new: str


def edited(text: str, replacements: Sequence[Replacement]) -> str:
    """The text after all replacements, in order; raises ToolError naming the first that fits nowhere."""
    for number, replacement in enumerate(replacements, start=1):
        old, new = (part.replace("\r\n", "\n") for part in replacement)
        if old in text:
            text = text.replace(old, new, 1)
            continue
        lines = text.split("\n")
        at = _find(lines, old.split("\n"))
        if at is None:
            raise ToolError(f"edit {number}: no such text in the file, however indented:\n{old[:500]}")
        count = old.count("\n") + 1
        lines[at : at + count] = _placed(new.split("\n"), _indent(lines[at]))
        text = "\n".join(lines)
    return text


def _find(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The first line from which on the lines are the wanted ones but for blanks around them."""
    bare = [line.strip() for line in wanted]
    stripped = [line.strip() for line in lines]
    for at in range(len(lines) - len(bare) + 1):
        if stripped[at] == bare[0] and stripped[at : at + len(bare)] == bare:
            return at
    return None


def _placed(block: Sequence[str], indent: str) -> list[str]:
    """The block with its first line at `indent`; the others keep their distance to it."""
    own = _indent(block[0])
    return [_shifted(line, own, indent) for line in block]


def _shifted(line: str, own: str, indent: str) -> str:
    if not line.strip():
        return line.strip("\t ")
    here = _indent(line)
    if here.startswith(own):
        return indent + here[len(own) :] + line.lstrip()
    return indent[: max(0, len(indent) - (len(own) - len(here)))] + line.lstrip()


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]
