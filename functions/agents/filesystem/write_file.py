"""filesystem/write_file: a file with the content given."""

from functions.agents.filesystem._answers import Text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class WriteFile(Payload):
    path: str
    content: str


@tool(effect="write", timeout_s=30, destructive=True, idempotent=True)
def write_file(request: WriteFile, *, run: Run, files: Files) -> Text:
    """Create a file, or replace all of one that exists; its folder must exist."""
    files.root(run.user_id).write(request.path, request.content.encode())
    return Text(content=f"Successfully wrote to {request.path}")
