"""filesystem/move_file: another name or place for a file or folder."""

from functions.agents.filesystem._answers import Text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class MoveFile(Payload):
    source: str
    destination: str


@tool(effect="write", timeout_s=30, destructive=True)
def move_file(request: MoveFile, *, run: Run, files: Files) -> Text:
    """Move or rename a file or folder to the full path `destination`; fails where that exists."""
    files.root(run.user_id).move(request.source, request.destination)
    return Text(content=f"Successfully moved {request.source} to {request.destination}")
