"""filesystem/get_file_info: size, times and permissions."""

from datetime import datetime

from functions.agents.filesystem._answers import Text
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class GetFileInfo(Payload):
    path: str


@tool(effect="read", timeout_s=10)
def get_file_info(request: GetFileInfo, *, run: Run, files: Files) -> Text:
    """Return what is known about a file or folder, a `key: value` a line; times are UTC, sizes bytes."""
    info = files.root(run.user_id).info(request.path)
    facts = {
        "size": str(info.size_bytes),
        "created": _rfc3339(info.created),
        "modified": _rfc3339(info.modified),
        "accessed": _rfc3339(info.accessed),
        "isDirectory": str(info.kind == "directory").lower(),
        "isFile": str(info.kind == "file").lower(),
        "permissions": f"{info.permissions:03o}",
    }
    return Text(content="\n".join(f"{key}: {value}" for key, value in facts.items()))


def _rfc3339(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
