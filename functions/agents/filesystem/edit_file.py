"""filesystem/edit_file: pieces of a text replaced, with the difference as the answer."""

from pydantic import Field

from functions.agents.filesystem._answers import MAX_TEXT_BYTES, Text, text_of
from functions.agents.filesystem._diff import fenced_diff
from functions.agents.filesystem._edits import Replacement, edited
from shared.errors import ToolError
from shared.function import Run, tool
from shared.payload import Payload
from shared.ports.files import Files


class Edit(Payload):
    old_text: str = Field(alias="oldText", description="replaced where it stands first")
    new_text: str = Field(alias="newText")


class EditFile(Payload):
    path: str
    edits: list[Edit] = Field(max_length=1000)
    dry_run: bool = Field(default=False, alias="dryRun", description="only show what would change")


@tool(effect="write", timeout_s=30, destructive=True)
def edit_file(request: EditFile, *, run: Run, files: Files) -> Text:
    """Replace pieces of a text file, edit after edit, all or none; the answer is a unified diff.

    An oldText that is not found as it stands is looked for line by line, blanks around lines ignored.
    """
    root = files.root(run.user_id)
    diff = ""

    def change(content: bytes) -> bytes:
        nonlocal diff
        before = _utf8(content, request.path)
        plain = before.replace("\r\n", "\n")
        after = edited(plain, [Replacement(edit.old_text, edit.new_text) for edit in request.edits])
        diff = fenced_diff(plain, after, root.shown(request.path))
        # Only a text all of whose lines end so keeps it; a mixture cannot be told apart after an edit.
        windows = "\r\n" in before and before.count("\n") == before.count("\r\n")
        return (after.replace("\n", "\r\n") if windows else after).encode()

    if request.dry_run:
        change(root.read_bytes(request.path, limit_bytes=MAX_TEXT_BYTES))
    else:
        root.rewrite(request.path, change, limit_bytes=MAX_TEXT_BYTES)
    return Text(content=diff)


def _utf8(content: bytes, path: str) -> str:
    text = text_of(content, path)
    if text.encode() != content:
        raise ToolError(f"{path!r} is not UTF-8 text; an edit would damage it")
    return text
