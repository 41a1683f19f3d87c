"""An action that runs in a child, and tells of all that it does."""

from shared.asking import ROOTS
from shared.errors import ToolError
from shared.function import Log, Run, tool


@tool(effect="exec", timeout_s=20)
async def chatty(*, run: Run, log: Log) -> str:
    """Report, log, and ask for what the client may not have."""
    run.progress(50, "half of it")
    log("warning", {"left": [1, 2]}, logger="chatty")
    try:
        run.ask({"roots": ROOTS})
    except ToolError:
        return "nobody was asked"
    return "somebody was asked"
