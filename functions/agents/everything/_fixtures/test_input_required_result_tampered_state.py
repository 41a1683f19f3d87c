"""everything/test_input_required_result_tampered_state: for the conformance suite, state that nobody may change."""

from functions.agents.everything._fixtures._questions import CONFIRM
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_tampered_state(*, run: Run) -> Content:
    """Ask for a confirmation."""
    run.ask({"confirm": CONFIRM}, keep="kept")
    return text("the state was as it had been given out")
