"""filesystem/read_text_file: the text of one file."""

from pydantic import Field

from functions.agents.filesystem._answers import Text
from functions.agents.filesystem._lines import read_text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class ReadTextFile(Payload):
    path: str
    tail: int | None = Field(default=None, ge=1, description="only so many lines from the end")
    head: int | None = Field(default=None, ge=1, description="only so many lines from the start")


@tool(effect="read", timeout_s=10)
def read_text_file(request: ReadTextFile, *, run: Run, files: Files) -> Text:
    """Return the text of one file: all of it, or its first (head) or last (tail) lines."""
    root = files.root(run.user_id)
    return Text(content=read_text(root, request.path, request.head, request.tail))
