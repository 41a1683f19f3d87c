"""filesystem/read_multiple_files: several texts in one answer."""

from pydantic import Field

from functions.agents.filesystem._answers import MAX_TEXT_BYTES, Text, text_of
from shared.errors import ToolError
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files, UserFiles


class ReadMultipleFiles(Payload):
    paths: list[str] = Field(min_length=1, max_length=1000)


@tool(effect="read", timeout_s=30)
def read_multiple_files(request: ReadMultipleFiles, *, run: Run, files: Files) -> Text:
    """Return the texts of several files, each under its path; one that cannot be read says why instead."""
    root = files.root(run.user_id)
    room = MAX_TEXT_BYTES
    parts: list[str] = []
    for path in request.paths:
        part = _one(root, path, room)
        room = max(0, room - len(part))
        parts.append(part)
    return Text(content="\n---\n".join(parts))


def _one(root: UserFiles, path: str, room: int) -> str:
    try:
        return f"{path}:\n{text_of(root.read_bytes(path, limit_bytes=room), path)}\n"
    except ToolError as exc:
        return f"{path}: Error - {exc.message}"
