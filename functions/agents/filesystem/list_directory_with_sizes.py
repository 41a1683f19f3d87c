"""filesystem/list_directory_with_sizes: the names in a folder, how large each file is, and the sums."""

from typing import Literal

from pydantic import Field

from functions.agents.filesystem._answers import Text
from shared.errors import ToolError
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Entry, Files

_MOST = 10_000
_UNITS = ("KB", "MB", "GB", "TB")


class ListDirectoryWithSizes(Payload):
    path: str
    sort_by: Literal["name", "size"] = Field(default="name", alias="sortBy")


@tool(effect="read", timeout_s=20)
def list_directory_with_sizes(request: ListDirectoryWithSizes, *, run: Run, files: Files) -> Text:
    """List a folder with the size of each file, by name or largest first, and the totals at the end."""
    page = files.root(run.user_id).entries(request.path, limit=_MOST)
    if page.next_cursor is not None:
        raise ToolError(f"{request.path!r} holds over {_MOST} names; page through it with list_directory")
    shown = sorted(page.entries, key=lambda entry: (entry.name.casefold(), entry.name.swapcase()))
    if request.sort_by == "size":
        shown.sort(key=lambda entry: entry.size_bytes, reverse=True)
    files_only = [entry for entry in page.entries if entry.kind != "directory"]
    lines = [_line(entry) for entry in shown]
    lines.append(f"\nTotal: {len(files_only)} files, {len(shown) - len(files_only)} directories")
    lines.append(f"Combined size: {_size(sum(entry.size_bytes for entry in files_only))}")
    return Text(content="\n".join(lines))


def _line(entry: Entry) -> str:
    if entry.kind == "directory":
        return f"[DIR] {entry.name:<30} "
    return f"[FILE] {entry.name:<30} {_size(entry.size_bytes):>10}"


def _size(size_bytes: int) -> str:
    if size_bytes < 1024:
        return f"{size_bytes} B"
    power = min((size_bytes.bit_length() - 1) // 10, len(_UNITS))
    return f"{size_bytes / 1024**power:.2f} {_UNITS[power - 1]}"
