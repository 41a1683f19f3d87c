"""everything/confirm_delete: for the conformance suite, a task that waits for its client once."""

from shared.asking import filled_in, form
from shared.content import Content, text
from shared.function import Run, tool
from shared.payload import Payload


class ConfirmDelete(Payload):
    filename: str


@tool(effect="read", timeout_s=10, task="optional")
async def confirm_delete(request: ConfirmDelete, *, run: Run) -> Content:
    """Ask whether a file may go, and say what was answered; nothing is deleted."""
    question = form(f"Delete {request.filename!r}?", {"confirm": {"type": "boolean"}}, required=["confirm"])
    filled = filled_in(run.ask({"confirm": question})["confirm"])
    is_confirmed = filled is not None and filled["confirm"] is True
    return text(f"{request.filename!r} would be {'deleted' if is_confirmed else 'kept'}")
