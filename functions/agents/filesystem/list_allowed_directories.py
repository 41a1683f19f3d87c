"""filesystem/list_allowed_directories: where a user may go."""

from functions.agents.filesystem._answers import Text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class ListAllowedDirectories(Payload):
    pass


@tool(effect="read", timeout_s=10)
def list_allowed_directories(request: ListAllowedDirectories, *, run: Run, files: Files) -> Text:
    """Return the folders that can be reached: always one, your own root, which is shown as `/`."""
    files.root(run.user_id)
    return Text(content="Allowed directories:\n/")
