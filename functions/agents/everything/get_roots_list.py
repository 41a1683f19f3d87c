"""everything/get-roots-list: which folders the client works in."""

from shared.asking import ROOTS, roots_of
from shared.content import Content, text
from shared.function import Run, tool


@tool(name="get-roots-list", effect="read", timeout_s=10)
async def get_roots_list(*, run: Run) -> Content:
    """Ask the client for its roots, and list them."""
    found = roots_of(run.ask({"roots": ROOTS})["roots"])
    if not found:
        return text("The client has no roots.")
    listed = "\n".join(f"{number}. {name}: {uri}" for number, (name, uri) in enumerate(found, 1))
    return text(f"The client has {len(found)} roots:\n{listed}")
