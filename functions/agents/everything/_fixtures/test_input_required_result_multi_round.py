"""everything/test_input_required_result_multi_round: for the conformance suite, questions one after the other."""

from functions.agents.everything._fixtures._questions import text_form
from shared.asking import filled_in
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_multi_round(*, run: Run) -> Content:
    """Ask for a name, and then for a colour."""
    name = filled_in(run.ask({"step1": text_form("Step 1: What is your name?", "name")})["step1"])
    colour = filled_in(run.ask({"step2": text_form("Step 2: What is your favorite color?", "color")})["step2"])
    return text(f"{name} likes {colour}")
