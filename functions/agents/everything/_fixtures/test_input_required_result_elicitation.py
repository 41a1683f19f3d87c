"""everything/test_input_required_result_elicitation: for the conformance suite, one form."""

from functions.agents.everything._fixtures._questions import NAME
from shared.asking import filled_in
from shared.content import Content, text
from shared.function import Run, tool


@tool(effect="read", timeout_s=10)
async def test_input_required_result_elicitation(*, run: Run) -> Content:
    """Ask for a name, and greet by it."""
    content = filled_in(run.ask({"user_name": NAME})["user_name"])
    return text(f"Hello, {content['name']}!" if content else "Hello, whoever you are!")
