"""filesystem/search_files: the paths that match a pattern."""

from pydantic import Field

from functions.agents.filesystem._answers import Text
from functions.agents.filesystem._glob import Glob
from shared.errors import ToolError
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files, UserFiles

_MOST_SHOWN = 10_000


class SearchFiles(Payload):
    path: str
    pattern: str = Field(description="a glob over paths below `path`; '**/*.py' for all depths")
    exclude_patterns: list[str] = Field(default_factory=list, alias="excludePatterns", max_length=100)


@tool(effect="read", timeout_s=30)
def search_files(request: SearchFiles, *, run: Run, files: Files) -> Text:
    """Return the full paths of files and folders that match a glob; excluded folders are not entered."""
    root = files.root(run.user_id)
    wanted = Glob(request.pattern)
    excluded = [Glob(pattern) for pattern in request.exclude_patterns]
    top = root.shown(request.path).rstrip("/")
    found: list[str] = []
    for entry in root.walk(request.path, skip=lambda path: any(glob.matches(path) for glob in excluded)):
        path = f"{top}/{entry.path}"
        if wanted.matches(entry.path) and (entry.kind != "link" or _reachable(root, path)):
            found.append(path)
        if len(found) > _MOST_SHOWN:
            raise ToolError(f"over {_MOST_SHOWN} paths match; narrow the pattern or go further down")
    return Text(content="\n".join(found) or "No matches found")


def _reachable(root: UserFiles, path: str) -> bool:
    try:
        root.info(path)
    except ToolError:
        return False
    return True
