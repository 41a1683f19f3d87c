"""filesystem/list_directory: the names in a folder."""

from pydantic import Field

from functions.agents.filesystem._answers import Text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class ListDirectory(Payload):
    path: str
    limit: int = Field(default=1000, ge=1, le=10_000)
    cursor: str = Field(default="", description="from the last line of a page that was not the last")


@tool(effect="read", timeout_s=20)
def list_directory(request: ListDirectory, *, run: Run, files: Files) -> Text:
    """List a folder by name, one [FILE] or [DIR] a line; a last line [MORE] gives the next cursor."""
    page = files.root(run.user_id).entries(request.path, limit=request.limit, cursor=request.cursor)
    lines = [f"{'[DIR]' if entry.kind == 'directory' else '[FILE]'} {entry.name}" for entry in page.entries]
    if page.next_cursor is not None:
        lines.append(f"[MORE] cursor: {page.next_cursor}")
    return Text(content="\n".join(lines))
