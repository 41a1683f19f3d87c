"""filesystem/directory_tree: all below a folder, as JSON."""

import json

from pydantic import Field

from functions.agents.filesystem._answers import Text
from functions.agents.filesystem._glob import Glob
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files

_MOST = 20_000

Node = dict[str, "str | list[Node]"]


class DirectoryTree(Payload):
    path: str
    exclude_patterns: list[str] = Field(default_factory=list, alias="excludePatterns", max_length=100)


@tool(effect="read", timeout_s=30)
def directory_tree(request: DirectoryTree, *, run: Run, files: Files) -> Text:
    """Return a folder's whole tree as JSON: name, type (file or directory) and, for a directory, children.

    excludePatterns are globs over paths below the folder; a plain name leaves it out at every depth.
    """
    excluded = [glob for pattern in request.exclude_patterns for glob in _globs(pattern)]
    top: list[Node] = []
    children: dict[str, list[Node]] = {"": top}
    found = files.root(run.user_id).walk(
        request.path, skip=lambda path: any(glob.matches(path) for glob in excluded), limit=_MOST
    )
    for entry in found:
        node: Node = {"name": entry.name, "type": "directory" if entry.kind == "directory" else "file"}
        if entry.kind == "directory":
            node["children"] = children[entry.path] = []
        children[entry.path.rpartition("/")[0]].append(node)
    return Text(content=json.dumps(top, indent=2, ensure_ascii=False))


def _globs(pattern: str) -> list[Glob]:
    if "*" in pattern:
        return [Glob(pattern)]
    return [Glob(pattern), Glob(f"**/{pattern}"), Glob(f"**/{pattern}/**")]
