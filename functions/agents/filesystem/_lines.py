"""The first or last lines of a file, without reading the rest; lines are what stands between line feeds."""

import os
from typing import BinaryIO

from functions.agents.filesystem._answers import MAX_TEXT_BYTES, text_of
from shared.errors import ToolError
from shared.ports.files import UserFiles

_CHUNK_BYTES = 1 << 16


def read_text(root: UserFiles, path: str, head: int | None = None, tail: int | None = None) -> str:
    """The text of a file, or its first `head` or last `tail` lines."""
    if head is not None and tail is not None:
        raise ToolError("head and tail exclude one another; give one of them")
    if head is None and tail is None:
        return text_of(root.read_bytes(path, limit_bytes=MAX_TEXT_BYTES), path)
    with root.open(path) as file:
        if head is not None:
            return text_of(_head(file, head), path)
        return text_of(_tail(file, tail or 0), path).replace("\r\n", "\n")


def _head(file: BinaryIO, count: int) -> bytes:
    lines: list[bytes] = []
    room = MAX_TEXT_BYTES
    while len(lines) < count and (line := file.readline(room + 1)):
        room -= len(line)
        if room < 0:
            raise ToolError(f"these lines are larger than {MAX_TEXT_BYTES} bytes; ask for fewer")
        lines.append(line)
    return b"".join(lines).removesuffix(b"\n")


def _tail(file: BinaryIO, count: int) -> bytes:
    """The text after the last `count` line feeds but one: a file that ends in one has an empty last line."""
    position = file.seek(0, os.SEEK_END)
    chunks: list[bytes] = []
    feeds = size_bytes = 0
    while position > 0 and feeds < count:
        step = min(_CHUNK_BYTES, position)
        position = file.seek(position - step)
        chunk = file.read(step)
        chunks.append(chunk)
        feeds += chunk.count(b"\n")
        size_bytes += step
        if size_bytes > MAX_TEXT_BYTES + _CHUNK_BYTES:
            raise ToolError(f"these lines are larger than {MAX_TEXT_BYTES} bytes; ask for fewer")
    return b"\n".join(b"".join(reversed(chunks)).split(b"\n")[-count:])
