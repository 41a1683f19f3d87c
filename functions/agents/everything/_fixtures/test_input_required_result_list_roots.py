"""everything/test_input_required_result_list_roots: for the conformance suite, the client's roots."""

from shared.asking import ROOTS, roots_of
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_list_roots(*, run: Run) -> Content:
    """Ask for the client's roots, and list them."""
    found = roots_of(run.ask({"client_roots": ROOTS})["client_roots"])
    return text("\n".join(f"{name}: {uri}" for name, uri in found) or "no roots")
