"""everything/test_input_required_result_multiple_inputs: for the conformance suite, three questions at once."""

from functions.agents.everything._fixtures._questions import NAME
from shared.asking import ROOTS, sampling
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_multiple_inputs(*, run: Run) -> Content:
    """Ask the person, the model and the client."""
    greeting = sampling("Generate a greeting", max_tokens=50)
    answers = run.ask({"user_name": NAME, "greeting": greeting, "client_roots": ROOTS})
    return text(f"{len(answers)} answers came")
