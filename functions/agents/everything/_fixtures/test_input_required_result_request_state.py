"""everything/test_input_required_result_request_state: for the conformance suite, state that comes back."""

from functions.agents.everything._fixtures._questions import CONFIRM
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_request_state(*, run: Run) -> Content:
    """Keep something while asking, and see that it came back."""
    run.ask({"confirm": CONFIRM}, keep="kept")
    return text("state-ok" if run.state == "kept" else "state-lost")
