"""filesystem/create_directory: a folder and those above it."""

from functions.agents.filesystem._answers import Text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class CreateDirectory(Payload):
    path: str


@tool(effect="write", timeout_s=30, idempotent=True)
def create_directory(request: CreateDirectory, *, run: Run, files: Files) -> Text:
    """Make sure a folder exists, making the folders above it as needed."""
    files.root(run.user_id).make_directory(request.path)
    return Text(content=f"Successfully created directory {request.path}")
