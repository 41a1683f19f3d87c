"""filesystem/read_file: the older name of read_text_file."""

from pydantic import Field

from functions.agents.filesystem._answers import Text
from functions.agents.filesystem._lines import read_text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class ReadFile(Payload):
    path: str
    tail: int | None = Field(default=None, ge=1, description="only so many lines from the end")
    head: int | None = Field(default=None, ge=1, description="only so many lines from the start")


@tool(effect="read", timeout_s=10, title="Read file (older name)")
def read_file(request: ReadFile, *, run: Run, files: Files) -> Text:
    """Return the text of one file. Kept for older prompts; prefer read_text_file, which is the same."""
    root = files.root(run.user_id)
    return Text(content=read_text(root, request.path, request.head, request.tail))
